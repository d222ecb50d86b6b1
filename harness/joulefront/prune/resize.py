"""Replacing a layer's tensors by slices of them, and making what the layers say of themselves agree.

An exported folder has a copy of this file beside ``rebuild.py``: it needs torch alone, any that runs on Python 3.9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

_FUSED = (("qkv",), ("to_qkv",), ("in_proj",), ("qkv_proj",), ("Wqkv",))
_SEPARATE = (
    ("q", "k", "v"),
    ("q_proj", "k_proj", "v_proj"),
    ("query", "key", "value"),
    ("to_q", "to_k", "to_v"),
    ("q_lin", "k_lin", "v_lin"),
    ("wq", "wk", "wv"),
)
_OUT = ("proj", "out_proj", "o_proj", "to_out", "dense", "out_lin", "wo", "c_proj")
_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads", "num_kv_heads")
_TOTALS = ("attn_dim", "all_head_size", "all_head_dim", "inner_dim", "kv_dim")


def slice_all(model: nn.Module, kept: Mapping[tuple[str, int], Tensor]) -> nn.Module:
    """``model`` itself, with only the indices ``kept`` of each dimension of each tensor that is named there."""
    for (name, dim), indices in kept.items():
        _slice(model, name, dim, indices)
    return agreed(model)


def agreed(model: nn.Module) -> nn.Module:
    """``model`` itself, whose layers' own account of their channels, heads and units is now that of their tensors."""
    # From the outside in: an attention learns how many heads are left from what its layers still say of themselves.
    for module in list(model.modules()):
        _resize(module)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.MultiheadAttention) and not _is_whole(module):
            if not name:
                return FewerHeads(module)
            path, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(path), attribute, FewerHeads(module))
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
    elif isinstance(module, nn.RNNBase):
        module.input_size = module.get_parameter("weight_ih_l0").shape[1]
        if not module.proj_size:
            module.hidden_size = module.get_parameter("weight_hh_l0").shape[1]
    else:
        _resize_attention(module)


def _resize_attention(module: nn.Module) -> None:
    """Make what an attention says of its heads agree with its layers, which themselves are not resized yet."""
    if isinstance(module, FewerHeads):
        module.fit()
        return
    found = projections(module)
    if found is None or not found.into:
        return
    weight = module.get_submodule(found.into[0]).weight
    assert isinstance(weight, Tensor)
    total = len(weight) // found.copies
    for name in _HEADS:
        if getattr(module, name, None) == found.heads:
            setattr(module, name, total // found.size)
    for name in _TOTALS:
        if getattr(module, name, None) == found.total:
            setattr(module, name, total)


@dataclass(frozen=True)
class Projections:
    """The layers of an attention of ``heads`` heads, ``total`` channels in all.

    ``into`` are the layers that make queries, keys and values of ``channels`` inputs: one for all three or one each; empty for
    torch's own attention, which keeps their weights itself. ``out`` is the layer behind the heads; empty where there is none.
    """

    into: tuple[str, ...]
    out: str
    heads: int
    total: int
    channels: int

    @property
    def copies(self) -> int:
        """How often each channel of the heads stands in a projection: thrice in a fused one."""
        return 3 if len(self.into) < 2 else 1

    @property
    def size(self) -> int:
        """The channels of one head."""
        return self.total // self.heads


def projections(module: nn.Module) -> Projections | None:
    """The layers of ``module``, as they say of themselves; None if it does not look like an attention."""
    if isinstance(module, (nn.MultiheadAttention, FewerHeads)):
        if isinstance(module, nn.MultiheadAttention) and not _is_plain(module):
            return None
        total = module.num_heads * module.head_dim
        return Projections((), "out_proj", module.num_heads, total, module.embed_dim)
    heads = next((getattr(module, name) for name in _HEADS if isinstance(getattr(module, name, None), int)), 0)
    into: tuple[str, ...] = next((names for names in (*_FUSED, *_SEPARATE) if _are_linear(module, names)), ())
    if heads < 1 or not into:
        return None
    layers = [module.get_submodule(name) for name in into]
    rows = {int(layer.out_features) for layer in layers}  # type: ignore[arg-type]
    channels = {int(layer.in_features) for layer in layers}  # type: ignore[arg-type]
    total = next(iter(rows)) // (3 if len(into) == 1 else 1)
    out = next((name for name in _OUT if _are_linear(module, (name,))), "")
    fits = not out or module.get_submodule(out).in_features == total
    if len(rows) > 1 or len(channels) > 1 or total % heads or not fits:
        return None
    return Projections(into, out, heads, total, next(iter(channels)))


def _is_whole(module: nn.MultiheadAttention) -> bool:
    """Whether torch's own attention can compute with the weights that it has."""
    weight = module.in_proj_weight
    return weight is None or tuple(weight.shape) == (3 * module.embed_dim, module.embed_dim)


class FewerHeads(nn.Module):
    """torch's nn.MultiheadAttention with any number of heads, which torch ties to its width: the same weights by the same names.

    Takes and returns what it does, but for inputs without a batch dimension.
    """

    # torch's encoder layers ask for these before they take a way of their own, which knows no such attention.
    _qkv_same_embed_dim = False

    def __init__(self, whole: nn.MultiheadAttention) -> None:
        super().__init__()
        self.batch_first, self.dropout, self.head_dim = whole.batch_first, whole.dropout, whole.head_dim
        self.in_proj_weight, self.in_proj_bias, self.out_proj = whole.in_proj_weight, whole.in_proj_bias, whole.out_proj
        self.training = whole.training
        self.fit()

    def fit(self) -> None:
        """Make its account of itself agree with its weights."""
        self.num_heads, self.embed_dim = len(self.in_proj_weight) // 3 // self.head_dim, self.in_proj_weight.shape[1]

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,  # noqa: ARG002 -- a hint: the mask is given as well
    ) -> tuple[Tensor, Tensor | None]:
        """As torch's: (batch, length, width) each, or (length, batch, width) unless ``batch_first``."""
        q, k, v = self._projected(query, key, value)
        if (
            not need_weights and attn_mask is None and key_padding_mask is None
        ):  # one operator, which compiles to one kernel
            dropout = {"dropout_p": self.dropout} if self.training else {}
            y = F.scaled_dot_product_attention(q, k, v, **dropout)
            return self._out(y), None
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
        if attn_mask is not None:
            scores = _masked(scores, attn_mask if attn_mask.dim() == 2 else attn_mask.reshape(scores.shape))
        if key_padding_mask is not None:
            scores = _masked(scores, key_padding_mask[:, None, None])
        weights = F.dropout(scores.softmax(-1), self.dropout, self.training)
        shown = None if not need_weights else weights.mean(1) if average_attn_weights else weights
        return self._out(weights @ v), shown

    def _out(self, x: Tensor) -> Tensor:
        """What is behind the heads."""
        y: Tensor = self.out_proj(x.transpose(1, 2).flatten(2))
        return y if self.batch_first else y.transpose(0, 1)

    def _projected(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values: (batch, heads, length, size) each."""
        rows = len(self.in_proj_weight) // 3
        made = []
        for part, x in enumerate(inputs):
            own = slice(part * rows, (part + 1) * rows)
            bias = None if self.in_proj_bias is None else self.in_proj_bias[own]
            y = F.linear(x if self.batch_first else x.transpose(0, 1), self.in_proj_weight[own], bias)
            made.append(y.reshape(*y.shape[:2], self.num_heads, self.head_dim).transpose(1, 2))
        return tuple(made)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else scores + mask


def _is_plain(module: nn.MultiheadAttention) -> bool:
    return module._qkv_same_embed_dim and module.bias_k is None and not module.add_zero_attn


def _are_linear(module: nn.Module, names: tuple[str, ...]) -> bool:
    return all(isinstance(getattr(module, name, None), nn.Linear) for name in names)
