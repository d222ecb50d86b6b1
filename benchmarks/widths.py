"""Odd widths against the next multiple of a vector: pruning a channel more should never make a layer slower."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from build import build
from contestants import Ours, interleaved
from intervals import median
from networks import PHOTO, pruned
from torch import nn

from joulefront.records import Target
from joulefront.tasks.models import resnet20

Made = tuple[nn.Module, tuple[int, ...]]


def _conv(width: int, side: int, kernel: int, *, stride: int = 1, given: int | None = None) -> Made:
    """A convolution to ``width`` channels, from as many unless others are ``given``, and the ReLU behind it."""
    channels = given or width
    layer = nn.Conv2d(channels, width, kernel, stride, kernel // 2)
    return nn.Sequential(layer, nn.ReLU()).eval(), (1, channels, side, side)


def _depthwise(width: int, side: int) -> Made:
    layers = (nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.ReLU6())
    return nn.Sequential(*layers).eval(), (1, width, side, side)


def _dense(width: int, rows: int = 1) -> Made:
    layers = (nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    return nn.Sequential(*layers).eval(), (rows, width)


LAYERS: dict[str, tuple[Callable[[int], Made], tuple[int, ...]]] = {
    "3x3 on 56x56": (lambda width: _conv(width, 56, 3), (17, 45, 63)),
    "3x3 on 14x14": (lambda width: _conv(width, 14, 3), (153, 179)),
    "3x3, stride 2, on 28x28": (lambda width: _conv(width, 28, 3, stride=2), (89,)),
    "7x7, stride 2, on 224x224 from 3": (lambda width: _conv(width, 224, 7, stride=2, given=3), (37,)),
    "1x1 on 56x56": (lambda width: _conv(width, 56, 1), (21, 77)),
    "1x1 on 7x7": (lambda width: _conv(width, 7, 1), (191, 313)),
    "depthwise 3x3 on 56x56": (lambda width: _depthwise(width, 56), (67, 87)),
    "depthwise 3x3 on 14x14": (lambda width: _depthwise(width, 14), (229,)),
    "two dense layers": (_dense, (129, 509)),
    "two dense layers, 197 rows": (lambda width: _dense(width, 197), (131,)),
}
"""Layers of any width, and the odd widths to try: just above a multiple of 16, in between, and just below one."""

SHARES = (0.3, 0.45, 0.6, 0.75, 0.9)


def compared(target: Target, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """For each layer and each pruned ResNet-20: latencies in s, and the ratio of the odd width's to the multiple's."""
    lanes, results = target.vector_floats, []
    for kind, (make, odd_widths) in LAYERS.items():
        for width in odd_widths:
            up = -(-width // lanes) * lanes
            results.append(
                {"what": kind, "odd": width, "multiple": up, **_pair(make(width), make(up), target, folder, rounds)}
            )
    for keep in SHARES:
        torch.manual_seed(0)
        whole = resnet20(channels=3).eval()
        odd, up_to = (pruned(whole, PHOTO, keep, odd=True, up_to=multiple) for multiple in (1, lanes))
        pair = _pair((odd, PHOTO), (up_to, PHOTO), target, folder, rounds)
        results.append({"what": f"ResNet-20 at {keep:.0%}", "odd": "all", "multiple": lanes, **pair})
    return results


def _pair(odd: Made, multiple: Made, target: Target, folder: Path, rounds: int) -> dict[str, Any]:
    """The two, interleaved. ``slower`` says whether the odd one is slower beyond the interval; None without one."""
    contestants = {}
    for name, (model, shape) in (("odd", odd), ("multiple", multiple)):
        contestants[name] = Ours(build(model, shape, target, folder).library, torch.randn(shape))
    times = interleaved(contestants, rounds)
    ratio = median([one / other for one, other in zip(times["odd"], times["multiple"], strict=True)])
    slower = None if ratio["low"] is None else ratio["low"] > 1
    return {"latency_s": {name: median(values) for name, values in times.items()}, "ratio": ratio, "slower": slower}
