"""What has to go with TVM's runtime: its licences and notices, as this host's own installation has them."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

# Of the parts that are bundled, those that the two shared libraries hold.
_TEXTS = {
    "apache-tvm": ("tvm/LICENSE", "tvm/NOTICE", "tvm/licenses/LICENSE.builtin_fp16.txt"),
    "apache-tvm-ffi": ("licenses/NOTICE", "tvm_ffi/3rdparty/libbacktrace/LICENSE"),
}
_HEAD = """libtvm_runtime.so and libtvm_ffi.so are Apache TVM's, unchanged, under the Apache License 2.0. What else is in this
folder is your own network, and run.py, network.py, rebuild.py and pruned_layers.py, which are Joulefront's, under the
Apache License 2.0 too.
"""


def text() -> str:
    """All of it, one text behind the other; one that this host lacks is left out."""
    parts = [_HEAD]
    for distribution, names in _TEXTS.items():
        files = importlib.metadata.files(distribution) or []
        for name in names:
            found = next((Path(str(file.locate())) for file in files if file.as_posix().endswith(name)), None)
            if found is not None and found.is_file():
                parts.append(f"{distribution}: {name}\n\n{found.read_text(encoding='utf-8', errors='replace')}")
    return f"\n{'-' * 80}\n".join(parts)
