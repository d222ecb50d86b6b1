"""The networks that are compiled in tests: the demo's, and a little of what users bring."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DigitsNet(nn.Module):
    """The literature's MNIST network."""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 128), *, norm: bool = True, pools: int = 1) -> None:
        super().__init__()
        first, second, hidden = widths
        self.conv1, self.conv2 = nn.Conv2d(1, first, 3), nn.Conv2d(first, second, 3)
        self.norm1 = nn.BatchNorm2d(first) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm2d(second) if norm else nn.Identity()
        self.pools = pools
        self.fc1 = nn.Linear(second * (144 if pools == 1 else 25), hidden)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        if self.pools == 2:
            x = F.max_pool2d(x, 2)
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        scores: Tensor = self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))
        return scores


class Block(nn.Module):
    """A basic block with a projection where the shape changes."""

    def __init__(self, channels: int, middle: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, middle, 3, stride, 1, bias=False), nn.BatchNorm2d(middle)
        self.conv2, self.norm2 = nn.Conv2d(middle, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet20(nn.Module):
    """The CIFAR ResNet of three stages of three blocks, with the channels inside each block free."""

    def __init__(
        self, widths: tuple[int, ...] = (16, 32, 64), middles: tuple[int, ...] | None = None, channels: int = 3
    ) -> None:
        super().__init__()
        middles = middles or tuple(width for width in widths for _ in range(3))
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        blocks, last = [], widths[0]
        for number, middle in enumerate(middles):
            stage = number // 3
            blocks.append(Block(last, middle, widths[stage], 2 if stage and number % 3 == 0 else 1))
            last = widths[stage]
        self.blocks, self.fc = nn.Sequential(*blocks), nn.Linear(last, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))
        return scores


class Inverted(nn.Module):
    """MobileNet's inverted residual with squeeze-and-excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 3 * channels
        self.expand = nn.Sequential(nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(wide, wide, 3, 1, 1, groups=wide), nn.BatchNorm2d(wide), nn.ReLU6())
        self.squeeze, self.excite = nn.Conv2d(wide, 5, 1), nn.Conv2d(5, wide, 1)
        self.project = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        changed: Tensor = x + self.project(y)
        return changed


class Concatenated(nn.Module):
    """Branches side by side, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(5, 7, 3, padding=1), nn.Conv2d(5, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(self.left(x)), self.right(x), x], 1)


class PreActivated(nn.Module):
    """BatchNorm before the convolution, and one behind a convolution that is read twice: neither can be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.conv, self.after = nn.BatchNorm2d(5), nn.Conv2d(5, 9, 3, padding=1), nn.BatchNorm2d(9)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(F.relu(self.before(x)))
        return self.after(y) + y, y.mean((2, 3))


class Offset(nn.Module):
    """A constant of the given shape between a convolution of five channels and its BatchNorm."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.offset = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x) + self.offset)
        return y


class Recurrent(nn.Module):
    """An LSTM's outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.lstm(x)[0]
        return outputs
