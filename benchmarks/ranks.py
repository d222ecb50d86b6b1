"""Whether ONNX Runtime agrees with us on which of many pruned networks is quicker; and about which it does not, and why."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from build import build
from contestants import OnnxRuntime, Ours, interleaved, onnx_file
from networks import NETWORKS
from scipy.stats import rankdata, spearmanr
from torch import nn
from torch.nn.modules.conv import _ConvNd

from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut_to
from joulefront.records import Target
from joulefront.search.start import independent

KINDS = ("ResNet-20", "MobileNetV2")
_FLOOR = 0.25  # of each layer's channels at least


def ranked(names: Sequence[str], target: Target, folder: Path, rounds: int, count: int) -> dict[str, Any]:
    """Of each kind in ``names``, ``count`` networks, every width of each drawn uniformly from all from a quarter up.

    All of a kind are interleaved.
    """
    return {kind: _of_kind(kind, target, folder, rounds, count) for kind in KINDS if kind in names}


def _of_kind(kind: str, target: Target, folder: Path, rounds: int, count: int) -> dict[str, Any]:
    torch.manual_seed(0)
    whole, shape = NETWORKS[kind]()
    x, rng = torch.randn(shape), np.random.default_rng(0)
    space = find_space(whole, (x,), multiple=1, floor=_FLOOR)
    contestants: dict[str, Callable[[int], float]] = {}
    macs: list[int] = []
    padded: list[int] = []
    for number in range(count):
        print(f"{kind}, {target.threads} thread(s): compiling {number + 1} of {count}", file=sys.stderr, flush=True)
        model = cut_to(whole, (x,), space.pruning(independent(space, rng))).eval()
        contestants[f"joulefront {number}"] = Ours(build(model, shape, target, folder).library, x)
        contestants[f"onnxruntime {number}"] = OnnxRuntime(onnx_file(model, x, folder), x, target.threads)
        for products, multiple in ((macs, 1), (padded, target.vector_floats)):
            products.append(_products(model, x, multiple))
    print(f"{kind}, {target.threads} thread(s): measuring", file=sys.stderr, flush=True)
    times = interleaved(contestants, rounds)
    ours, theirs = (
        np.array([statistics.median(times[f"{name} {number}"]) for number in range(count)])
        for name in ("joulefront", "onnxruntime")
    )
    return {"networks": count, "macs": [min(macs), max(macs)], **agreement(ours, theirs, macs, padded)}


def agreement(ours: Any, theirs: Any, macs: Sequence[int], padded: Sequence[int]) -> dict[str, Any]:
    """Spearman's rank correlation of two latencies, s, over networks, and the networks that they rank far apart.

    These differ by more than an eighth of all places. What the data says of each: how far each runtime's latency is from
    what networks of so many multiply-accumulates take in it (a straight line through the logarithms), and how many
    multiply-accumulates there are per real one once every layer's channels are rounded up to whole vectors.
    """
    places = [rankdata(latency).astype(int) for latency in (ours, theirs)]
    departures = [_departures(latency, macs) for latency in (ours, theirs)]
    padding = np.array(padded) / np.array(macs)
    apart = sorted(range(len(macs)), key=lambda at: -abs(places[0][at] - places[1][at]))
    return {
        "spearman": float(spearmanr(ours, theirs).statistic),
        "spearman_with_macs": {
            "joulefront": float(spearmanr(ours, macs).statistic),
            "onnxruntime": float(spearmanr(theirs, macs).statistic),
        },
        "spearman_of_departure_with_padding": {
            "joulefront": float(spearmanr(departures[0], padding).statistic),
            "onnxruntime": float(spearmanr(departures[1], padding).statistic),
        },
        "padding_median": float(np.median(padding)),
        "outliers": [
            {
                "network": at,
                "macs": macs[at],
                "place": {"joulefront": int(places[0][at]), "onnxruntime": int(places[1][at])},
                "latency_s": {"joulefront": float(ours[at]), "onnxruntime": float(theirs[at])},
                "of_what_macs_predict": {
                    "joulefront": math.exp(departures[0][at]),
                    "onnxruntime": math.exp(departures[1][at]),
                },
                "padding": float(padding[at]),
                "departs_more": "joulefront" if abs(departures[0][at]) > abs(departures[1][at]) else "onnxruntime",
            }
            for at in apart
            if abs(places[0][at] - places[1][at]) > len(macs) / 8
        ],
    }


def _departures(latency: Any, macs: Sequence[int]) -> Any:
    """The logarithm of each latency over what the line through all of them says."""
    return np.log(latency) - np.polyval(np.polyfit(np.log(macs), np.log(latency), 1), np.log(macs))


def _products(model: nn.Module, x: torch.Tensor, multiple: int) -> int:
    """The multiply-accumulates of the convolutions and dense layers, with their channels rounded up to a multiple."""
    total = 0

    def up(channels: int) -> int:
        return -(-channels // multiple) * multiple

    def note(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, _ConvNd):
            given = module.in_channels // module.groups
            per_output = (up(given) if given > 1 else 1) * math.prod(module.kernel_size)
        else:
            assert isinstance(module, nn.Linear)
            per_output = up(module.in_features)
        channels = module.weight.shape[0]
        total += output.numel() // channels * up(channels) * per_output

    hooks = [
        module.register_forward_hook(note) for module in model.modules() if isinstance(module, _ConvNd | nn.Linear)
    ]
    with torch.inference_mode():
        model(x)
    for hook in hooks:
        hook.remove()
    return total
