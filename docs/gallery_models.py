"""The pictures of gallery.md: three models, what each of their parts is worth and costs, and what pruning leaves of them.

python docs/gallery_models.py [DEVICE]

It runs the page's commands in docs/, which take some minutes on an idle machine, and keeps nothing but the pictures.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
MODELS = {"cnn": ("mnist5k", 4), "resnet20": ("gallery_tasks.py:resnet20", 2), "vit": ("gallery_tasks.py:vit", 2)}


def main(device: str) -> None:
    for name, (model, widths) in MODELS.items():
        command = ["sensitivity", model, "--widths", str(widths), "--device", device]
        _joulefront(*command, "--figure", f"sensitivity-{name}.png")
        with tempfile.TemporaryDirectory() as folder:
            command = ["prune", model, "--ratio", "0.6", "--of", "macs", "--scope", "global", "--criterion", "taylor"]
            _joulefront(*command, "--out", f"{folder}/pruned", "--figure", f"widths-{name}.png")


def _joulefront(*command: str) -> None:
    print("$ joulefront", *command, flush=True)
    subprocess.run([Path(sys.executable).with_name("joulefront"), *command], cwd=DOCS, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["local"])
