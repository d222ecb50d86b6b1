"""Which residual blocks can be taken out of a network and leave one that works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from joulefront.errors import PruneError
from joulefront.prune.axes import evaluating
from joulefront.prune.groups import Example, Groups
from joulefront.prune.surgery import shrink
from joulefront.space_records import inside

_SEED = 0


def find_blocks(model: nn.Module, example: Example, groups: Groups) -> tuple[str, ...]:
    """The names of the residual blocks of ``model`` that can be taken out, each and all, in the order of execution.

    A block is an innermost module that has convolutions, linear or recurrent layers, takes one tensor and gives one of the
    same shape, and becomes the identity when its parameters are zero: then what it computes is added to what it was given,
    and nn.Identity can stand in its place. That is tried, not read off the class. Each is then taken out with every group
    of ``groups`` at its smallest width, to see that the network works. ``model`` is left as it is.
    """
    calls = _calls(model, example)
    found = [
        name for name, (module, given) in calls.items() if _owns_all(model, module) and _is_residual(module, given)
    ]
    innermost = [name for name in found if not any(other != name and inside(other, [name]) for other in found)]
    if not innermost or _works(model, example, groups, innermost):
        return tuple(innermost)
    # A group that cannot be cut anyway says nothing about a block.
    sound = replace(
        groups, groups=tuple(g for g in groups.groups if _works(model, example, replace(groups, groups=(g,))))
    )
    return tuple(name for name in innermost if _works(model, example, sound, [name]))


def _calls(model: nn.Module, example: Example) -> dict[str, tuple[nn.Module, Tensor]]:
    """Each module with layers that was called once, with one tensor, and gave one of the same shape; and that tensor."""
    names = {module: name for name, module in model.named_modules() if name and _has_layers(module)}
    times: Counter[nn.Module] = Counter()
    given: dict[nn.Module, Tensor] = {}

    def before(module: nn.Module, inputs: tuple[object, ...], keywords: dict[str, object]) -> None:
        times[module] += 1
        given.pop(module, None)
        if len(inputs) == 1 and not keywords and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point():
            given[module] = inputs[0].clone()  # the module may write over it

    def after(module: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor) or module not in given or output.shape != given[module].shape:
            given.pop(module, None)

    with _in_eval_mode(model), torch.no_grad():
        hooks = [
            hook
            for module in names
            for hook in (
                module.register_forward_pre_hook(before, with_kwargs=True),
                module.register_forward_hook(after),
            )
        ]
        try:
            model(*_varied(example))
        finally:
            for hook in hooks:
                hook.remove()
    return {names[module]: (module, given[module]) for module in times if times[module] == 1 and module in given}


def _owns_all(model: nn.Module, module: nn.Module) -> bool:
    """Whether no parameter of the module is also someone else's."""
    uses = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    own = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))
    return all(uses[key] == times for key, times in own.items())


def _has_layers(module: nn.Module) -> bool:
    return any(isinstance(layer, _ConvNd | nn.Linear | nn.RNNBase) for layer in module.modules())


@contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _varied(example: Example) -> Example:
    """Inputs of the example's shapes that vary: what is zero throughout looks unchanged by any layer."""
    generator = torch.Generator().manual_seed(_SEED)
    return tuple(
        torch.randn(part.shape, generator=generator, dtype=part.dtype) if part.is_floating_point() else part
        for part in example
    )


def _is_residual(module: nn.Module, given: Tensor) -> bool:
    """Whether the module gives back what it is given when its parameters are zero."""
    silent = evaluating(module)
    with torch.no_grad():
        for parameter in silent.parameters():
            parameter.zero_()
        try:
            output = silent(given.clone())
        except Exception:  # noqa: BLE001 -- a user's module that cannot do with zeros is no block
            return False
    varies = bool((given != given.flatten()[0]).any())  # what is constant may look unchanged by any layer
    return varies and isinstance(output, Tensor) and torch.equal(output, given)


def _works(model: nn.Module, example: Example, groups: Groups, dropped: Sequence[str] = ()) -> bool:
    """Whether the model works without these blocks, at the groups' smallest widths and, where some are dropped, whole."""
    narrowest = {group.name: torch.arange(group.channels)[-group.block :] for group in groups.groups}
    try:
        shrink(model, example, groups, narrowest, dropped)
        if dropped:
            shrink(model, example, groups, {}, dropped)
    except PruneError:
        return False
    return True
