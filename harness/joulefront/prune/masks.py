"""Single weights, and whole channels, that are zero: which they are, and how a network loses them.

A *mask* is true where a parameter is zero and stays so (``joulefront.training.Masks``). A zero is a zero: a network carries its
masks in its weights, and needs no record beside them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from joulefront.errors import PruneError
from joulefront.problems import nearest
from joulefront.prune.groups import Groups
from joulefront.training import Masks
from joulefront.training.zeros import Zeros


def masks_of(model: nn.Module, layers: Collection[str] | None = None) -> dict[str, Tensor]:
    """Where the weights of ``model``, its parameters of two or more dimensions, are zero; nothing for those that are nowhere.

    ``layers``, named by the module or by the parameter itself, are the only ones that are looked at where they are given: in
    others, weights may be zero before training without being pruned. So may biases and the scales of norms, which are left
    out.
    """
    return {
        name: parameter == 0
        for name, parameter in model.named_parameters(remove_duplicate=layers is None)
        if parameter.dim() > 1
        and (layers is None or name in layers or name.removesuffix(".weight") in layers)
        and bool((parameter == 0).any())
    }


def zero(model: nn.Module, masks: Masks) -> None:
    """Set what ``masks`` name to zero, in place. Raises ConfigError for a mask that is not of this model."""
    Zeros(model, masks)


def weight_masks(model: nn.Module, scores: Mapping[str, Tensor], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """The weights to set to zero so that, of each layer in ``shares``, that share of them is: those of the lowest scores.

    Layers are named as ``Evidence.layer`` does, by the module or by the parameter itself; ``scores`` holds a criterion's
    for each of them, (numel,), higher is kept. What is zero goes first, whatever its score, so that nothing comes back; of
    equal scores the first is kept. One weight of a layer is always kept, since without any it would pass nothing on.

    Raises PruneError for a layer that the model does not have, for scores of another shape, and for a share outside 0 to 1.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    masks = {}
    for layer, share in shares.items():
        name = next((name for name in (layer, f"{layer}.weight") if name in parameters), None)
        if name is None:
            raise PruneError(f"the model has no weights named {layer!r}; {nearest(layer, parameters)}")
        weight = parameters[name].detach()
        if layer not in scores or scores[layer].shape != (weight.numel(),):
            raise PruneError(f"layer {layer!r} needs a score for each of its {weight.numel()} weights")
        if not 0 <= share <= 1:
            raise PruneError(f"layer {layer!r}: expected a share of zeros from 0 to 1, not {share:g}")
        ranked = scores[layer].double().masked_fill(weight.cpu().reshape(-1) == 0, -torch.inf)
        gone = torch.zeros(weight.numel(), dtype=torch.bool)
        kept = max(1, weight.numel() - round(share * weight.numel()))
        gone[ranked.argsort(descending=True, stable=True)[kept:]] = True
        masks[name] = gone.reshape(weight.shape)
    return masks


def channel_masks(model: nn.Module, groups: Groups, keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Masks of all channels but ``keep``, (kept,), of each group named there: what writes them and what reads them.

    A channel that is masked so has no effect, and to cut it out afterwards (``surgery.shrink``) changes no output, but where
    a norm over channels counts it.
    """
    shapes = {name: parameter.shape for name, parameter in model.named_parameters(remove_duplicate=False)}
    masks: dict[str, Tensor] = {}
    for name, channels in keep.items():
        group = groups.by_name[name]
        gone = torch.ones(group.channels, dtype=torch.bool)
        gone[channels] = False
        for axis in group.axes:
            if axis.tensor in shapes:  # a buffer, such as a running mean, is not trained
                mask = masks.setdefault(axis.tensor, torch.zeros(shapes[axis.tensor], dtype=torch.bool))
                mask.index_fill_(axis.dim, axis.owned[gone].flatten(), True)
    return masks
