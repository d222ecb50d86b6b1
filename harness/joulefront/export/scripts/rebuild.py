"""The pruned network in torch, out of your own unpruned model and the weights in this folder.

Needs torch, and pruned_layers.py beside it.

    from rebuild import rebuild
    model = rebuild(MyModel())  # made as for the search; trained or not, since every weight is replaced

Where a model cannot be rebuilt so, as when its forward counts on a width or it keeps tensors that are neither parameters
nor buffers, this says so: what it returns gave torch's output.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from pruned_layers import agreed  # type: ignore[import-not-found]
from torch import Tensor, nn

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool}
_DTYPES |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8}


def rebuild(model: nn.Module, path: str | Path = Path(__file__).parent) -> nn.Module:
    """A copy of ``model``, in eval mode, with the shapes and weights in the folder ``path``; checked against its outputs.

    Raises ValueError for a model that is not the one that was pruned, or cannot be rebuilt so.
    """
    path = Path(path)
    card = json.loads((path / "card.json").read_text(encoding="utf-8"))
    weights, stored = (_read(path / f"{name}.safetensors", card) for name in ("weights", "check"))
    small = _without(copy.deepcopy(model).cpu().eval(), card["dropped"])
    if odd := sorted(set(small.state_dict()) ^ set(weights)):
        raise ValueError(f"these are the weights of another model: {len(odd)} names differ, such as {odd[0]!r}")
    old = {name: _at(small, name) for name in weights}
    new: dict[int, Tensor] = {}  # by what it replaces, so that tied weights stay tied
    for name, tensor in weights.items():
        was = old[name]
        new.setdefault(id(was), nn.Parameter(tensor, was.requires_grad) if isinstance(was, nn.Parameter) else tensor)
        owner, _, attribute = name.rpartition(".")
        setattr(small.get_submodule(owner), attribute, new[id(was)])
    rebuilt: nn.Module = agreed(small)
    _check(rebuilt, stored, card)
    return rebuilt


def _without(model: nn.Module, blocks: list[str]) -> nn.Module:
    """``model`` itself, with nn.Identity in the place of the ``blocks`` that were taken out."""
    modules = dict(model.named_modules())
    for name in blocks:
        if name not in modules:
            raise ValueError(f"these are the weights of another model: this one has no block {name!r}")
        owner, _, attribute = name.rpartition(".")
        setattr(modules[owner], attribute, nn.Identity())
    return model


def _at(model: nn.Module, name: str) -> Tensor:
    """The parameter or buffer of that name itself, which a state_dict does not hold."""
    module, _, attribute = name.rpartition(".")
    tensor: Tensor = getattr(model.get_submodule(module), attribute)
    return tensor


def _check(model: nn.Module, stored: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Raise ValueError unless the model makes of the stored input what the pruned one did."""
    cannot = "the model cannot be rebuilt from its weights alone: use model.onnx, or cut it by joulefront"
    try:
        with torch.no_grad():
            outputs = model(*(stored[tensor["name"]] for tensor in card["inputs"]))
    except Exception as error:
        raise ValueError(f"{cannot}; with them it does not run: {type(error).__name__}: {error}") from error
    returned = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    expected = [stored[tensor["name"]] for tensor in card["outputs"]]
    if [part.shape for part in returned] != [part.shape for part in expected]:
        raise ValueError(f"{cannot}; its outputs have other shapes")
    for ours, theirs in zip(returned, expected):  # noqa: B905 -- its strict is of Python 3.10
        difference = float((ours.double() - theirs.double()).abs().max()) if theirs.numel() else 0.0
        if not difference <= card["check"]["tolerance"] * float(theirs.double().abs().max()):
            raise ValueError(f"{cannot}; its output differs by up to {difference:.3g}")


def _read(path: Path, card: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name. Raises ValueError unless it is the one on the card."""
    data = bytearray(path.read_bytes())
    if hashlib.sha256(data).hexdigest() != card["files"][path.name]["sha256"]:
        raise ValueError(f"{path} is not there as it was exported: copy the whole folder again")
    body = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:body])
    sparse = json.loads(header.pop("__metadata__", {}).get("sparse", "{}"))
    tensors = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        dtype, part = _DTYPES[about["dtype"]], data[body + begin : body + end]
        flat = torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype)
        tensors[name] = flat.reshape(about["shape"])
    for name, shape in sparse.items():
        tensors[name] = _whole(tensors.pop(f"{name}#mask"), tensors.pop(f"{name}#values"), shape)
    return tensors


def _whole(mask: Tensor, values: Tensor, shape: list[int]) -> Tensor:
    """A tensor that is stored sparse: bit i of ``mask``, the lowest of a byte first, says that element i is the next of
    ``values``, and else it is zero."""
    bits = (mask[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
    whole = torch.zeros(math.prod(shape), dtype=values.dtype)
    whole[bits.flatten()[: len(whole)].bool()] = values
    return whole.reshape(shape)
