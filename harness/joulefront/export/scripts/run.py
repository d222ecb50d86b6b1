#!/usr/bin/env python3
"""Runs the network in this folder: Python 3.9 or later on 64-bit Linux, and nothing else.

python3 run.py                  compare it with torch on check.safetensors, then time it
python3 run.py FILE [FILE …]    print what it makes of an input, one file each: .npy, or the bytes in C order
"""

from __future__ import annotations

import ast
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))  # python -I leaves it out
from network import FORMATS, Network, is_whole, not_whole  # type: ignore[import-not-found]  # noqa: E402

_NUMPY = {"<f4": "f", "<f8": "d", "|i1": "b", "<i2": "h", "<i4": "i", "<i8": "q", "|u1": "B", "|b1": "?"}
_MOST_RUNS, _MOST_S = 1000, 2.0


def main(files: list[str]) -> str:
    """What to print; where that does not go, one message and an exit status of 1."""
    if files in (["-h"], ["--help"]):
        return str(__doc__).rstrip()
    try:
        network = Network(_HERE)
        if files:
            return "\n".join(json.dumps(output.tolist()) for output in network(*map(_input, files)))
        worst, allowed = difference(network), network.card["check"]["tolerance"]
        if not worst <= allowed:
            raise ValueError(f"the outputs differ from torch's by {worst:.2g} of the largest; {allowed:g} is allowed")
        taken_s, runs = median_s(network)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"run.py: {error}")
    return (
        f"outputs agree with torch's: they differ by {worst:.2g} of the largest, and {allowed:g} is allowed\n"
        f"{taken_s:.3g} s an inference, the median of {runs} by Python's clock. That is no benchmark: processes, cores and "
        "the machine's state are as they come. card.json has what was measured, and how"
    )


def difference(network: Network) -> float:
    """The largest difference from torch's outputs, relative to the largest of them; infinite where an integer differs."""
    check = _HERE / "check.safetensors"
    if not is_whole(check, network.card):
        raise not_whole(check)
    stored = _safetensors(check)
    returned = network(*(stored[tensor["name"]] for tensor in network.card["inputs"]))
    worst = 0.0
    for index, tensor in enumerate(network.card["outputs"]):
        pair = (returned[index], stored[tensor["name"]])
        ours, theirs = (memoryview(data).cast("B").cast(FORMATS[tensor["dtype"]]).tolist() for data in pair)
        if ours == theirs:
            continue
        if not tensor["dtype"].startswith("float") or not all(map(math.isfinite, ours + theirs)):
            return math.inf
        furthest, scale = max(abs(one - theirs[at]) for at, one in enumerate(ours)), max(map(abs, theirs))
        worst = max(worst, furthest / scale if scale else math.inf)
    return worst


def median_s(network: Network) -> tuple[float, int]:
    """The median time of one inference in s, by Python's clock, and of how many."""
    network.infer()
    times_s: list[float] = []
    while not times_s or (len(times_s) < _MOST_RUNS and sum(times_s) < _MOST_S):
        began_s = time.perf_counter()
        network.infer()
        times_s.append(time.perf_counter() - began_s)
    return statistics.median(times_s), len(times_s)


def _safetensors(path: Path) -> dict[str, bytes]:
    """The bytes of each tensor in a file, by name."""
    data = path.read_bytes()
    body = 8 + int.from_bytes(data[:8], "little")
    tensors = {name: about for name, about in json.loads(data[8:body]).items() if name != "__metadata__"}
    return {name: data[body:][slice(*about["data_offsets"])] for name, about in tensors.items()}


def _input(file: str) -> Any:
    """What a file holds, as a buffer; of a .npy its array."""
    data: Any = memoryview(Path(file).read_bytes())
    if data[:6] != b"\x93NUMPY":
        return data
    body = 10 + int.from_bytes(data[8:10], "little")  # of version 1 of the format, which numpy.save writes
    try:
        header = ast.literal_eval(bytes(data[10:body]).decode("latin-1"))
        if not header["fortran_order"]:
            return data[body:].cast(_NUMPY[header["descr"]], header["shape"])
    except (KeyError, MemoryError, OverflowError, RecursionError, SyntaxError, TypeError, ValueError):
        pass
    raise ValueError(f"{file}: save it by numpy.save(FILE, numpy.ascontiguousarray(array, dtype)), of the card's dtype")


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
