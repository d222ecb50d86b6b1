"""BatchNorm's statistics, taken anew of a network that was pruned."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from joulefront.protocols import Task
from joulefront.training.data import shuffled, split_of
from joulefront.training.device import Device, placed
from joulefront.training.forward import forward
from joulefront.training.seeds import seeded


def recalibrate(
    model: nn.Module, task: Task, *, batches: int, batch_size: int, seed: int, device: Device = "auto"
) -> None:
    """Give every BatchNorm of ``model``, in place, the statistics of the pruned network; leaves it in eval mode.

    The running mean and variance are forgotten and replaced by the cumulative average over ``batches`` random batches
    of the train split (adaptive BatchNorm; Li 2020, EagleEye, arXiv:2007.02491). No weight changes.
    Does nothing with no batches, and for a model without BatchNorm. Raises ConfigError as ``fit``.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    model.eval()
    if batches == 0 or not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's spelling of a cumulative average
        layer.train()
    try:
        with placed(device, model) as place, seeded(seed), torch.no_grad():
            for inputs, _ in shuffled(split_of(task, "train"), batch_size, seed, batches):
                forward(model, inputs, place=place)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.eval()
