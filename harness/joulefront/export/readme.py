"""The page in an exported folder: what each file is, and the commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TEXT = """# {study}, trial {trial}

A pruned network, compiled for {cpu} ({triple}); its latency was {provenance} on {device}. `card.json` has its numbers, and
how each was made.

## On the device

    scp -r THIS_FOLDER user@device:
    python3 THIS_FOLDER/run.py                  # compares it with torch's output, then times it
    python3 THIS_FOLDER/run.py {files_in}   # prints what it makes of {shapes}

It needs Python 3.9 or later on 64-bit Linux ({architecture}) with glibc {glibc} or later and libstdc++, and nothing else.
"Illegal instruction" means that the processor is an older one than {cpu}. In a program of your own:

    import sys; sys.path.append("THIS_FOLDER")
    from network import Network
    outputs = Network("THIS_FOLDER")({inputs})  # bytes, array.array, NumPy arrays: anything with a buffer

It computes on {threads} thread{s}, on whichever cores the system gives it{pinned}.

## In torch

    from rebuild import rebuild
    model = rebuild(YourModel())                # your own unpruned model gets the pruned shapes and weights

{onnx}
## The files

| file | what it is |
|---|---|
{files}
"""


def text(card: Mapping[str, Any]) -> str:
    """The page of the network on the ``card``, which has all but the page itself."""
    target, onnx = card["target"], card["onnx"]
    cores = str(card["conditions"].get("before", {}).get("cores"))
    of_cores = "s" if "," in cores else ""
    is_pinned = re.fullmatch(r"\d+(,\d+)*", cores, re.ASCII)  # a device said it, and it stands in a command
    named = {
        **{name: about["about"] for name, about in card["files"].items()},
        "card.json": "the numbers, and all hashes",
    }
    return _TEXT.format(
        study=card["study"],
        trial=card["trial"],
        provenance=card["latency_s"]["provenance"],
        device=card["device"]["name"],
        files_in=" ".join(f"{tensor['name']}.npy" for tensor in card["inputs"]),
        inputs=", ".join(tensor["name"] for tensor in card["inputs"]),
        shapes=" and ".join(f"{tensor['dtype']} of shape {tuple(tensor['shape'])}" for tensor in card["inputs"]),
        s="" if target["threads"] == 1 else "s",
        pinned=f"; its latency is that of core{of_cores} {cores} alone (taskset -c {cores})" if is_pinned else "",
        onnx="" if onnx["file"] else f"There is no ONNX file: {onnx['reason']}.\n",
        files="\n".join(f"| `{name}` | {about} |" for name, about in named.items()),
        **{key: target[key] for key in ("cpu", "triple", "architecture", "glibc", "threads")},
    )
