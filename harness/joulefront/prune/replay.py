"""Running a model many times with small changes, without computing anew what comes before the change."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd


class Replay:
    """Meanwhile, the layers of a model give what they gave in the first pass, up to the first one that was changed.

    For passes over the same inputs, in eval mode, that differ in some parameters alone, and without a gradient::

        with Replay(model) as replay:
            whole = model(inputs)
            replay.since({changed})
            other = model(inputs)

    The outputs are the same to the last bit as without it. What is not a convolution, a linear layer or a BatchNorm is
    computed each time, and so is a layer whose output the model writes into. Meanwhile it holds the outputs of all of them.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = [module for module in model.modules() if isinstance(module, _ConvNd | nn.Linear | _BatchNorm)]
        self._holders: dict[int, list[nn.Module]] = {}
        for module in model.modules():
            for parameter in module.parameters(recurse=False):
                self._holders.setdefault(id(parameter), []).append(module)
        self._calls: list[tuple[nn.Module, Tensor, int]] = []
        self._recording, self._call, self._known = True, 0, 0

    def __enter__(self) -> Self:
        for layer in self._layers:
            layer.__dict__["forward"] = partial(self._forward, layer, layer.forward)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for layer in self._layers:
            original = layer.__dict__.pop("forward").args[1]
            if layer.forward != original:  # it had one of its own, not its class'
                layer.__dict__["forward"] = original
        self._calls.clear()

    def since(self, changed: Collection[nn.Parameter]) -> None:
        """From now on, a pass is one in which only ``changed`` differ from the first pass."""
        self._recording, self._call = False, 0
        firsts = [self._first(parameter) for parameter in changed]
        self._known = min(firsts, default=len(self._calls))

    def _first(self, parameter: nn.Parameter) -> int:
        """The first call of the layer that the parameter belongs to; 0 where another may have used it before."""
        holders = self._holders.get(id(parameter), [])
        calls = [place for place, (layer, _, _) in enumerate(self._calls) if len(holders) == 1 and layer is holders[0]]
        return calls[0] if calls else 0

    def _forward(self, layer: nn.Module, original: Any, *args: Any, **kwargs: Any) -> Any:
        place, self._call = self._call, self._call + 1
        if not self._recording and place < self._known:
            _, output, version = self._calls[place]
            if output._version == version:  # nobody wrote into it
                return output
        output = original(*args, **kwargs)
        if self._recording:
            self._calls.append((layer, output, output._version))
        return output
