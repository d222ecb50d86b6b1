"""What a model does with some of its training data: gradients, curvatures, what layers read, and losses."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from joulefront.errors import ConfigError
from joulefront.protocols import Task
from joulefront.prune.replay import Replay
from joulefront.training import load_batch, seeded

EXAMPLES = 512
"""How many examples gradients and outputs are taken over."""

SINGLE_EXAMPLES = 64
"""How many examples curvatures and losses without a unit are taken over: they are judged one by one, or once a unit."""

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Moments:
    """What a layer read on each of its input features, averaged over examples and positions; each (features,), float64."""

    mean: Tensor
    mean_abs: Tensor
    mean_square: Tensor
    zeros: Tensor


class Calibration:
    """A model's behaviour on a fixed sample of the task's train split, computed when it is first asked for and kept.

    All of it runs on a copy of the model in eval mode: the model itself and the global generators of random numbers are
    left as they are. The sample is drawn by ``seed``; each pass loads it anew, under the same seed, so that the data's
    augmentation is the same for all. The same on the same number of torch threads.

    The model must not change meanwhile. What takes data raises ConfigError where there is none.
    """

    def __init__(self, model: nn.Module, task: Task | None, seed: int) -> None:
        self._model, self._task, self._seed = model, task, seed

    @cached_property
    def gradients(self) -> Mapping[str, Tensor]:
        """The gradient of the mean loss over the examples, by the parameter's name."""
        total = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        size = len(self._sample(EXAMPLES))
        with seeded(self._seed):
            for inputs, targets in self._batches(EXAMPLES, _BATCH):
                for name, gradient in self._gradients(inputs, targets).items():
                    total[name] += gradient * (len(targets) / size)
        return total

    @cached_property
    def curvatures(self) -> Mapping[str, Tensor]:
        """The mean over examples of the squared gradient of one example's loss, by the parameter's name.

        The diagonal of the empirical Fisher matrix, which stands for the Hessian's where the model fits its data.
        """
        total = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        size = len(self._sample(SINGLE_EXAMPLES))
        with seeded(self._seed):
            for inputs, targets in self._batches(SINGLE_EXAMPLES, 1):
                for name, gradient in self._gradients(inputs, targets).items():
                    total[name] += gradient.square() / size
        return total

    @cached_property
    def inputs(self) -> Mapping[str, Moments]:
        """What each convolution, linear and recurrent layer read, by the layer's name; layers never called are absent."""
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}

        def note(name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            read = args[0] if args else kwargs.get("input")
            if not isinstance(read, Tensor):  # such as a packed sequence
                return
            features = -len(module.kernel_size) - 1 if isinstance(module, _ConvNd) else -1
            rows = read.detach().movedim(features, -1).flatten(0, -2)
            parts = (rows, rows.abs(), rows.square(), rows == 0)
            moments = torch.stack([part.sum(0, dtype=torch.float64) for part in parts])
            sums[name] = sums.get(name, 0) + moments
            counts[name] = counts.get(name, 0) + len(rows)

        hooks = [
            module.register_forward_pre_hook(
                lambda module, args, kwargs, name=name: note(name, module, args, kwargs), with_kwargs=True
            )
            for name, module in self._twin.named_modules()
            if isinstance(module, _ConvNd | nn.Linear | nn.RNNBase | nn.RNNCellBase)
        ]
        try:
            with seeded(self._seed), torch.no_grad():
                for inputs, _ in self._batches(EXAMPLES, _BATCH):
                    _outputs(self._twin, inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return {name: Moments(*(moments / counts[name])) for name, moments in sums.items()}

    def losses_without(self, units: Sequence[Sequence[tuple[str, int, Tensor]]]) -> Tensor:
        """How much the mean loss grows, (units,), when each of ``units`` is taken out, one at a time.

        A unit is a row of (parameter, dimension, indices), the slices that are set to zero meanwhile.
        """
        with seeded(self._seed):
            batch = next(self._batches(SINGLE_EXAMPLES, SINGLE_EXAMPLES))
        parameters, losses = self._parameters, []
        with Replay(self._twin) as replay:
            whole = self._loss(*batch)
            for unit in units:
                replay.since({parameters[name] for name, _, _ in unit})
                with self._zeroed(unit):
                    losses.append(self._loss(*batch) - whole)
        return torch.tensor(losses)

    @cached_property
    def _twin(self) -> nn.Module:
        """The copy that everything runs on; all of its parameters can be differentiated."""
        twin = copy.deepcopy(self._model).eval()
        for parameter in twin.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        return twin

    @property
    def _parameters(self) -> dict[str, nn.Parameter]:
        """All that can be differentiated, by all of its names."""
        named = self._twin.named_parameters(remove_duplicate=False)
        return {name: parameter for name, parameter in named if parameter.requires_grad}

    def _gradients(self, inputs: Any, targets: Tensor) -> dict[str, Tensor]:
        """The gradient of a batch's mean loss; zero for what the loss does not depend on."""
        assert self._task is not None
        parameters = self._parameters
        with torch.enable_grad():
            loss = self._task.loss(_outputs(self._twin, inputs), targets)
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        return dict(zip(parameters, found, strict=True))

    def _loss(self, inputs: Any, targets: Tensor) -> float:
        """The mean loss of a batch."""
        assert self._task is not None
        with seeded(self._seed), torch.no_grad():
            return float(self._task.loss(_outputs(self._twin, inputs), targets))

    @contextlib.contextmanager
    def _zeroed(self, slices: Sequence[tuple[str, int, Tensor]]) -> Iterator[None]:
        """Meanwhile, the copy has zeros at ``slices``."""
        parameters = self._parameters
        places = [(parameters[name].detach(), dim, indices) for name, dim, indices in slices]
        before = [tensor.index_select(dim, indices) for tensor, dim, indices in places]
        for tensor, dim, indices in places:
            tensor.index_fill_(dim, indices, 0.0)
        try:
            yield
        finally:
            for (tensor, dim, indices), values in zip(places, before, strict=True):
                tensor.index_copy_(dim, indices, values)

    def _sample(self, examples: int) -> Tensor:
        """The indices of the first so many examples of the sample."""
        dataset = self._dataset
        return torch.randperm(len(dataset), generator=torch.Generator().manual_seed(self._seed))[:examples]

    def _batches(self, examples: int, size: int) -> Iterator[tuple[Any, Tensor]]:
        """The sample's first ``examples``, in batches."""
        for indices in torch.split(self._sample(examples), size):
            yield load_batch(self._dataset, indices)

    @property
    def _dataset(self) -> Any:
        dataset: Any = None if self._task is None else self._task.train
        if dataset is None or len(dataset) == 0:
            raise ConfigError(
                "it needs examples of the task's train split, and there are none: give the task a train split, or "
                "take a criterion that judges by the weights alone, such as 'l2'"
            )
        return dataset


def _outputs(model: nn.Module, inputs: Any) -> Tensor:
    outputs = model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    if not isinstance(outputs, Tensor):
        raise ConfigError(
            f"the model returns {type(outputs).__name__}: it takes one tensor to judge a model by its loss"
        )
    return outputs
