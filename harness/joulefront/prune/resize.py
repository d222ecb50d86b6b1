"""Replacing a layer's tensors by slices of them, and making the layer's own account of its channels agree."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from joulefront.prune import heads, recurrent


def slice_all(model: nn.Module, kept: Mapping[tuple[str, int], Tensor]) -> nn.Module:
    """``model`` itself, with only the indices ``kept`` of each dimension of each tensor that is named there."""
    for (name, dim), indices in kept.items():
        _slice(model, name, dim, indices)
    # From the outside in: an attention learns how many heads are left from what its layers still say of themselves.
    for module in list(model.modules()):
        _resize(module)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.MultiheadAttention) and not heads.is_whole(module):
            if not name:
                return heads.FewerHeads(module)
            path, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(path), attribute, heads.FewerHeads(module))
    return model


def _slice(model: nn.Module, name: str, dim: int, indices: Tensor) -> None:
    """Replace a parameter or buffer by its slices at ``indices``."""
    path, _, attribute = name.rpartition(".")
    module = model.get_submodule(path)
    old = getattr(module, attribute)
    new = old.detach().index_select(dim, indices).contiguous()
    if isinstance(old, nn.Parameter):
        setattr(module, attribute, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(module, attribute, new)


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
    elif isinstance(module, _BatchNorm | _InstanceNorm):
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
    elif isinstance(module, nn.RNNBase):
        recurrent.resize(module)
    else:
        heads.resize(module)
