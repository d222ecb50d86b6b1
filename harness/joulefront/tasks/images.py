"""Datasets of small grey images, held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set, divided."""

    train: Dataset[Any]
    validation: TensorDataset
    test: TensorDataset


class ShiftedImages(Dataset[tuple[Tensor, Tensor]]):
    """Images that are shifted by up to ``pixels`` each time they are looked at, the border filled with ``background``.

    ``images`` (n, channels, h, w), ``labels`` (n,). The shifts come from torch's global generator.
    """

    def __init__(self, images: Tensor, labels: Tensor, *, pixels: int, background: float) -> None:
        self.labels = labels
        self.pixels = pixels
        self._padded = F.pad(images, [pixels] * 4, value=background)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        height, width = (size - 2 * self.pixels for size in self._padded.shape[2:])
        offsets = torch.randint(2 * self.pixels + 1, (len(indices), 2)).tolist()
        return [
            (self._padded[index, :, top : top + height, left : left + width], self.labels[index])
            for index, (top, left) in zip(indices, offsets, strict=True)
        ]


def stratified(labels: Tensor, sizes: Sequence[int], seed: int) -> list[Tensor]:
    """Disjoint sets of indices into ``labels``, (n,), of the ``sizes``, each with the whole's share of each class.

    The examples are shuffled, then dealt so that any run of them holds each class about as often as the whole does.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels[order]
    position = torch.empty(len(labels), dtype=torch.float64)
    for label in torch.unique(labels):
        members = (shuffled == label).nonzero().flatten()
        # The k-th of a class's m examples belongs at the share (k + 1/2) / m of the whole.
        position[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    dealt = order[position.argsort(stable=True)]
    return list(torch.split(dealt[: sum(sizes)], list(sizes)))
