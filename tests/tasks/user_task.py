"""A task of the user's own, as the documentation shows it."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from joulefront.tasks.task import Task


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 2),
    )


def images(count: int, seed: int) -> TensorDataset:
    """Noise, and noise with a bright corner."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    pictures = torch.rand(count, 1, 8, 8, generator=generator)
    pictures[labels == 1, :, :3, :3] += 1
    return TensorDataset(pictures, labels)


def task() -> Task:
    return Task(
        model(), example=torch.zeros(1, 1, 8, 8), train=images(64, 0), validation=images(32, 1), test=images(32, 2)
    )
