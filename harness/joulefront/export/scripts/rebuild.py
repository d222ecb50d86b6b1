"""The pruned network in torch, out of your own unpruned model and the weights in this folder. Needs torch alone.

    from rebuild import rebuild
    model = rebuild(MyModel())  # made as for the search; trained or not, since every weight is replaced

Where a model cannot be rebuilt so, as when its forward counts on a width or it keeps tensors that are neither parameters
nor buffers, this says so: what it returns gave torch's output.
"""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool}
_DTYPES |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8}


def rebuild(model: nn.Module, path: str | Path = Path(__file__).parent) -> nn.Module:
    """A copy of ``model``, in eval mode, with the shapes and weights in the folder ``path``; checked against its outputs.

    Raises ValueError for a model that is not the one that was pruned, or cannot be rebuilt so.
    """
    path = Path(path)
    card = json.loads((path / "card.json").read_text(encoding="utf-8"))
    weights, stored = (_read(path / f"{name}.safetensors", card) for name in ("weights", "check"))
    small = copy.deepcopy(model).cpu().eval()
    if odd := sorted(set(small.state_dict()) ^ set(weights)):
        raise ValueError(f"these are the weights of another model: {len(odd)} names differ, such as {odd[0]!r}")
    old = {name: _at(small, name) for name in weights}
    new: dict[int, Tensor] = {}  # by what it replaces, so that tied weights stay tied
    for name, tensor in weights.items():
        was = old[name]
        new.setdefault(id(was), nn.Parameter(tensor, was.requires_grad) if isinstance(was, nn.Parameter) else tensor)
        owner, _, attribute = name.rpartition(".")
        setattr(small.get_submodule(owner), attribute, new[id(was)])
    for module in small.modules():
        _resize(module)
    _check(small, stored, card)
    return small


def _at(model: nn.Module, name: str) -> Tensor:
    """The parameter or buffer of that name itself, which a state_dict does not hold."""
    module, _, attribute = name.rpartition(".")
    tensor: Tensor = getattr(model.get_submodule(module), attribute)
    return tensor


def _resize(module: nn.Module) -> None:
    """Make the module's own account of its channels agree with its tensors."""
    if isinstance(module, _ConvNd):
        before, after = module.weight.shape[:2]
        if module.groups > 1 and module.in_channels == module.out_channels:
            module.groups = module.groups * before // module.out_channels
            after *= module.groups
        elif module.groups > 1:
            return
        if isinstance(module, _ConvTransposeNd):
            before, after = after, before
        module.out_channels, module.in_channels = before, after
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, (_BatchNorm, _InstanceNorm)):
        kept = module.weight if module.weight is not None else module.running_mean
        if kept is not None:
            module.num_features = len(kept)
    elif isinstance(module, nn.GroupNorm) and module.weight is not None:
        if module.num_groups > 1:
            module.num_groups = module.num_groups * len(module.weight) // module.num_channels
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.LayerNorm) and module.weight is not None:
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.Embedding):
        module.embedding_dim = module.weight.shape[1]


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
    tensors = {}
    for name, about in json.loads(data[8:body]).items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            dtype, part = _DTYPES[about["dtype"]], data[body + begin : body + end]
            flat = torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype)
            tensors[name] = flat.reshape(about["shape"])
    return tensors
