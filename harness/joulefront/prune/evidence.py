"""What a criterion may look at: the model's groups and layers with their weights, gradients, outputs and losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from joulefront.errors import ConfigError, JoulefrontError, PruneError
from joulefront.plugins import describe
from joulefront.problems import nearest
from joulefront.protocols import Criterion, Group, Task
from joulefront.prune import READY
from joulefront.prune.calibration import Calibration, Moments
from joulefront.prune.coupled import coupled
from joulefront.prune.groups import Axis, ChannelGroup, Example, Groups, find_groups

_WEIGHTS_ALONE = "take a criterion that judges by the weights alone, such as 'l2'"


class Evidence:
    """A model's groups of coupled channels and its layers' single weights, as ``joulefront.protocols.Group``.

    What takes data is computed over a sample of the task's train split when it is first asked for, in one pass for the
    whole model, and kept: 512 examples for gradients and outputs, 64 for curvatures and losses without a unit. ``task``
    may be None where there is no data. ``seed`` draws the sample. The model is left as it is, and must not change while
    this is in use: after pruning or training it, make another one. ``groups``, what ``find_groups`` says of the model,
    saves finding them again.
    """

    def __init__(
        self, model: nn.Module, task: Task | None, example: Example, groups: Groups | None = None, *, seed: int = 0
    ) -> None:
        self._model = model
        self._groups = groups or find_groups(model, example)
        self._calibration = Calibration(model, task, seed)

    def group(self, name: str) -> Group:
        """The coupled channels of that name. Raises PruneError when there are none."""
        by_name = self._groups.by_name
        if name not in by_name:
            raise PruneError(f"the model has no channels named {name!r} that can be cut; {nearest(name, by_name)}")
        return _Channels(self._model, by_name[name], self._calibration)

    def layer(self, name: str) -> Group:
        """The single weights of a layer, flattened: a module that has one weight, or the name of a parameter itself.

        A recurrent layer has several, which are named as parameters: ``lstm.weight_ih_l0``. Raises PruneError when there
        is no such layer, or it has no weights.
        """
        parameters = dict(self._model.named_parameters(remove_duplicate=False))
        matrices = [key for key, parameter in parameters.items() if parameter.dim() > 1]
        for parameter in (name, f"{name}.weight"):
            if parameter in matrices:
                return _SingleWeights(self._model, name, parameter, self._calibration)
        inside = [key for key in matrices if key.startswith(f"{name}.")]
        hint = f"name one of its parameters: {', '.join(inside[:8])}" if inside else nearest(name, matrices)
        raise PruneError(f"the model has no layer {name!r} of one weight; {hint}")


def score(group: Group, criterion: Criterion) -> Tensor:
    """The criterion's scores of the group's units, (channels,), float32: higher is kept.

    Raises ConfigError when the criterion cannot judge the group or fails, and PruneError when its scores are not one
    finite number for each unit.
    """
    who = called(criterion)
    try:
        scores = criterion(group)
    except ConfigError as error:
        raise ConfigError(f"criterion {who} cannot judge layer {group.name!r}: {error}") from error
    except JoulefrontError:
        raise
    except Exception as error:
        raise ConfigError(f"criterion {who} fails on layer {group.name!r}: {describe(error)}") from error
    if not isinstance(scores, Tensor) or scores.shape != (group.channels,) or not bool(scores.isfinite().all()):
        raise PruneError(
            f"criterion {who} gives layer {group.name!r} no finite score for each of its {group.channels} "
            + ("weights" if group.single else "channels")
        )
    return scores.detach().float().cpu()


def called(criterion: Criterion) -> str:
    """What messages call a criterion: its name in quotes if it is ready-made, else its own ``__name__`` or its class."""
    kind = type(criterion)
    place = f"{kind.__module__}:{kind.__qualname__}"
    own: str = getattr(criterion, "__name__", kind.__qualname__)
    return next((repr(name) for name, ready in READY.items() if ready == place), own)


@dataclass(frozen=True, slots=True)
class _Outputs:
    """``joulefront.protocols.Outputs``."""

    mean_abs: Tensor
    std: Tensor
    zeros: Tensor


class _Channels:
    """Coupled channels: ``joulefront.protocols.Group``."""

    single = False

    def __init__(self, model: nn.Module, group: ChannelGroup, calibration: Calibration) -> None:
        self._model, self._calibration = model, calibration
        self.name, self.channels = group.name, group.channels
        tensors = model.state_dict()
        matrices = [axis for axis in group.axes if tensors[axis.tensor].dim() > 1]
        self._writers = [axis for axis in matrices if axis.produces]
        self._readers = [axis for axis in matrices if not axis.produces]
        self._scales = [
            axis
            for axis in group.axes
            if axis.tensor.endswith(".weight") and isinstance(_owner(model, axis.tensor), _BatchNorm)
        ]
        self._tensors: Mapping[str, Tensor] = {axis.tensor: tensors[axis.tensor] for axis in group.axes}

    @property
    def weights(self) -> list[Tensor]:
        return self._rows(self._writers, self._tensors)

    @property
    def consumers(self) -> list[Tensor]:
        return self._rows(self._readers, self._tensors)

    @property
    def scales(self) -> list[Tensor]:
        return self._rows(self._scales, self._tensors)

    @property
    def gradients(self) -> list[Tensor]:
        return self._rows(self._writers, self._calibration.gradients)

    @property
    def curvatures(self) -> list[Tensor]:
        return self._rows(self._writers, self._calibration.curvatures)

    @property
    def carried(self) -> list[Tensor]:
        return [
            _arranged(axis, tensor.abs() * moments.mean_abs.float().reshape(-1, *[1] * (tensor.dim() - 1 - axis.dim)))
            for axis, moments in self._read()
            for tensor in [self._tensors[axis.tensor]]
        ]

    @property
    def outputs(self) -> _Outputs:
        seen = [
            torch.stack([part[axis.owned].mean(1) for part in (read.mean, read.mean_abs, read.mean_square, read.zeros)])
            for axis, read in self._read()
        ]
        mean, mean_abs, mean_square, zeros = torch.stack(seen).mean(0)
        return _Outputs(mean_abs.float(), (mean_square - mean.square()).clamp(min=0).sqrt().float(), zeros.float())

    @property
    def losses_without(self) -> Tensor:
        if not self._readers:
            raise ConfigError(f"nothing that can be seen reads its channels: {_WEIGHTS_ALONE}")
        units = [[(axis.tensor, axis.dim, axis.owned[unit]) for axis in self._readers] for unit in range(self.channels)]
        return self._calibration.losses_without(units)

    def coupled(self, grad: Literal["gradients", "curvatures"] | None = None) -> Any:
        tensors = None if grad is None else getattr(self._calibration, grad)
        roles = {"writers": self._writers, "readers": self._readers, "scales": self._scales}
        return coupled(
            {role: self._rows(axes, self._tensors) for role, axes in roles.items()},
            None if tensors is None else {role: self._rows(axes, tensors) for role, axes in roles.items()},
        )

    def _rows(self, axes: list[Axis], tensors: Mapping[str, Tensor]) -> list[Tensor]:
        return [_arranged(axis, tensors[axis.tensor]) for axis in axes]

    def _read(self) -> list[tuple[Axis, Moments]]:
        """Each layer that reads the channels and was seen to, with what it read."""
        inputs = self._calibration.inputs
        found = [(axis, inputs[path]) for axis in self._readers if (path := _reader(axis.tensor)) in inputs]
        if not found:
            raise ConfigError(f"nothing that can be seen reads its channels: {_WEIGHTS_ALONE}")
        return found


class _SingleWeights:
    """The weights of one layer, each a unit of its own: ``joulefront.protocols.Group``."""

    single = True
    consumers: tuple[Tensor, ...] = ()
    scales: tuple[Tensor, ...] = ()

    def __init__(self, model: nn.Module, name: str, parameter: str, calibration: Calibration) -> None:
        self._model, self._calibration, self._parameter = model, calibration, parameter
        self._weight = model.get_parameter(parameter).detach()
        self.name, self.channels = name, self._weight.numel()

    @property
    def weights(self) -> list[Tensor]:
        return [self._weight.reshape(-1, 1)]

    @property
    def gradients(self) -> list[Tensor]:
        return [self._calibration.gradients[self._parameter].reshape(-1, 1)]

    @property
    def curvatures(self) -> list[Tensor]:
        return [self._calibration.curvatures[self._parameter].reshape(-1, 1)]

    @property
    def carried(self) -> list[Tensor]:
        read = self._calibration.inputs.get(_reader(self._parameter))
        if read is None:
            raise ConfigError(f"what its weights are multiplied by cannot be seen: {_WEIGHTS_ALONE}")
        return [(self._weight.abs() * self._spread(read.mean_abs)).reshape(-1, 1)]

    @property
    def outputs(self) -> _Outputs:
        raise ConfigError(f"a single weight has no outputs of its own: {_WEIGHTS_ALONE}")

    @property
    def losses_without(self) -> Tensor:
        raise ConfigError(
            f"trying it without each of its {self.channels} weights takes too long: take 'hessian', which estimates the loss"
        )

    def coupled(self, grad: Literal["gradients", "curvatures"] | None = None) -> Any:
        return coupled({"writers": self.weights}, None if grad is None else {"writers": getattr(self, grad)})

    def _spread(self, features: Tensor) -> Tensor:
        """A figure of each input feature, (features,), as one that the weight can be multiplied by."""
        module = _owner(self._model, self._parameter)
        if isinstance(module, _ConvTransposeNd):
            return features.float().reshape(-1, *[1] * (self._weight.dim() - 1))
        spread = features.float()
        if isinstance(module, _ConvNd):  # a filter of a grouped convolution reads its own group's channels
            spread = (
                features.float()
                .reshape(module.groups, -1)
                .repeat_interleave(module.out_channels // module.groups, dim=0)
            )
        return spread.reshape(*spread.shape, *[1] * (self._weight.dim() - 2))


def _arranged(axis: Axis, tensor: Tensor) -> Tensor:
    """What each channel owns of ``tensor``: (channels, elements)."""
    return tensor.detach().movedim(axis.dim, 0)[axis.owned].reshape(len(axis.owned), -1)


def _owner(model: nn.Module, tensor: str) -> nn.Module:
    return model.get_submodule(tensor.rpartition(".")[0])


def _reader(tensor: str) -> str:
    """The layer whose input the parameter is multiplied by; empty where that is not the layer's input."""
    path, _, attribute = tensor.rpartition(".")
    return path if attribute in ("weight", "weight_ih", "weight_ih_l0", "weight_ih_l0_reverse") else ""
