"""A pruned network's weights in a file: safetensors, no pickle, zeros left out, the same bytes for the same weights."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from joulefront.errors import StoreError
from joulefront.prune.groups import Example, Groups
from joulefront.prune.storage import parsed, serialised
from joulefront.prune.surgery import cut_to
from joulefront.space_records import Pruning


def save(model: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of ``model`` to ``path``. Raises StoreError when the disk refuses."""
    data = serialised(model.state_dict())
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error}") from error


def load(
    model: nn.Module, example: Example, pruning: Pruning, path: Path, *, groups: Groups | None = None
) -> nn.Module:
    """The pruned network that ``save`` wrote: ``model``, unpruned, cut as ``pruning`` says and given the weights in ``path``.

    ``model`` itself is left as it is; ``groups`` as for ``cut``. Raises StoreError when the file cannot be
    read, is damaged or holds another network, and PruneError when the pruning is not of this model.
    """
    small = cut_to(model, example, pruning, groups=groups)
    try:
        weights = OrderedDict(parsed(path.read_bytes()))
        # Some modules read the versions of their layers here, and take weights without one for very old.
        weights._metadata = small.state_dict()._metadata  # type: ignore[attr-defined]
        small.load_state_dict(weights, strict=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
    except SafetensorError as error:
        raise StoreError(f"{path}: damaged: {error}") from error
    except RuntimeError as error:
        raise StoreError(f"{path}: holds another network than one that is pruned so: {error}") from error
    return small
