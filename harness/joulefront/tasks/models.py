"""The small models that the ready-made tasks are solved with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn


def cnn(*, batch_norm: bool = False, classes: int = 10) -> nn.Sequential:
    """The literature's MNIST network: two 3x3 convolutions (32, 64), max-pooling, dense 128, dense ``classes``.

    In (n, 1, 28, 28), out (n, classes). 1,199,882 parameters without BatchNorm (Keras' example mnist_cnn.py; its
    dropout is left out, as it does nothing at inference). With ``batch_norm`` one follows each convolution.
    """
    return nn.Sequential(
        OrderedDict(
            [
                *_convolution(1, 1, 32, batch_norm=batch_norm),
                *_convolution(2, 32, 64, batch_norm=batch_norm),
                ("pool", nn.MaxPool2d(2)),
                ("flatten", nn.Flatten()),
                ("dense1", nn.Linear(64 * 12 * 12, 128)),
                ("relu3", nn.ReLU()),
                ("dense2", nn.Linear(128, classes)),
            ]
        )
    )


def tiny(*, channels: int = 1, classes: int = 10) -> nn.Sequential:
    """A network for 8x8 images that trains in a second: two convolutions (16, 32) with BatchNorm, two dense layers.

    In (n, channels, 8, 8), out (n, classes).
    """
    return nn.Sequential(
        OrderedDict(
            [
                *_convolution(1, channels, 16, batch_norm=True, padding=1),
                ("pool1", nn.MaxPool2d(2)),
                *_convolution(2, 16, 32, batch_norm=True, padding=1),
                ("pool2", nn.MaxPool2d(2)),
                ("flatten", nn.Flatten()),
                ("dense1", nn.Linear(32 * 2 * 2, 64)),
                ("relu3", nn.ReLU()),
                ("dense2", nn.Linear(64, classes)),
            ]
        )
    )


def _convolution(
    number: int, channels_in: int, channels_out: int, *, batch_norm: bool, padding: int = 0
) -> list[tuple[str, nn.Module]]:
    """A named 3x3 convolution, its BatchNorm if it has one (the bias is then of no use), and its ReLU."""
    layers: list[tuple[str, nn.Module]] = [
        (f"conv{number}", nn.Conv2d(channels_in, channels_out, 3, padding=padding, bias=not batch_norm))
    ]
    if batch_norm:
        layers.append((f"norm{number}", nn.BatchNorm2d(channels_out)))
    return [*layers, (f"relu{number}", nn.ReLU())]


class Block(nn.Module):
    """A residual block of two 3x3 convolutions; the shortcut is a 1x1 convolution where the shape changes.

    In (n, channels_in, h, w), out (n, channels_out, h / stride, w / stride), rounded up.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(inner + self.shortcut(x))


def resnet20(*, channels: int = 1, classes: int = 10) -> nn.Sequential:
    """ResNet-20 for small images (He 2016, arXiv:1512.03385, section 4.2): three stages of three blocks.

    In (n, channels, h, w), out (n, classes). Its shortcuts are 1x1 convolutions (the paper's option B) rather than
    padding with zeros (option A), so that each stage's width can be chosen freely.
    """
    layers: list[tuple[str, nn.Module]] = [
        ("conv", nn.Conv2d(channels, 16, 3, padding=1, bias=False)),
        ("norm", nn.BatchNorm2d(16)),
        ("relu", nn.ReLU()),
    ]
    for stage, (before, width) in enumerate([(16, 16), (16, 32), (32, 64)], start=1):
        blocks = [
            Block(before if first else width, width, stride=2 if first and stage > 1 else 1)
            for first in (True, False, False)
        ]
        layers.append((f"stage{stage}", nn.Sequential(*blocks)))
    layers += [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("dense", nn.Linear(64, classes))]
    return nn.Sequential(OrderedDict(layers))


def cnn_with_batch_norm() -> nn.Sequential:
    """``cnn`` with BatchNorm behind its convolutions."""
    return cnn(batch_norm=True)


by_name: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {"cnn": cnn, "cnn_bn": cnn_with_batch_norm, "resnet20": resnet20, "tiny": tiny}
)
"""The models that a ready-made task can be given, each for images of one channel and ten classes."""
