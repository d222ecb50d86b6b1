"""Each part of a network pruned alone: what it is worth to the network."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from joulefront import training
from joulefront.config import FineTuning, SpaceConfig
from joulefront.errors import CandidateError, ConfigError
from joulefront.protocols import Criterion, Group, Task
from joulefront.prune.blocks import find_blocks
from joulefront.prune.cost import count
from joulefront.prune.evidence import Evidence
from joulefront.prune.groups import Axis, ChannelGroup, find_groups
from joulefront.prune.space import legal_widths
from joulefront.prune.surgery import cut, drop
from joulefront.records import Failure
from joulefront.sensitivity_records import Cut, Part
from joulefront.space_records import Pruning

_SEED = 0
_LEAST_WIDTHS = 8
_BATCH = 100
_NOT_ACCURACY = "the task's metric is not the share of examples that are right, so that there are no pairs to compare"


class Alone:
    """A task's model, of which one part at a time is pruned, recalibrated and judged on the validation split.

    ``examples`` of that split, or all of them, are the same for every network. The model is left as it is.
    Raises ConfigError where the task's data do not serve, and PruneError for a model whose channels cannot be told.
    """

    def __init__(self, task: Task, criterion: Criterion, *, examples: int | None = None) -> None:
        self._task, self._criterion, self._examples = task, criterion, examples
        self._groups = find_groups(task.model, task.example)
        self._evidence = Evidence(task.model, task, task.example, self._groups, seed=_SEED)
        self._blocks = find_blocks(task.model, task.example, self._groups)
        self._whole = self._predict(task.model)
        self.score = training.score_of(self._whole, task)
        self.cost = count(task.model, task.example)
        self.left_alone = dict(self._groups.fixed)

    @property
    def interval_reason(self) -> str | None:
        """Why changes of the metric have no interval; None where they have."""
        return None if self._is_accuracy(self._whole, self.score.metric) else _NOT_ACCURACY

    def cuts(self, widths: int, multiple: int) -> list[Cut]:
        """What to try: for each group so many widths, spread over the legal ones, and then each residual block taken out.

        Groups and blocks are in the order of execution. The legal widths are multiples of ``multiple``, finer ones for narrow
        layers.
        """
        narrowed = [
            Cut(group.name, width, Pruning({group.name: width}))
            for group in self._groups.groups
            for width in _spread(_below(group, multiple), widths)
        ]
        return [*narrowed, *(Cut(block, 0, Pruning(dropped=(block,))) for block in self._blocks)]

    def part(self, name: str) -> Part:
        """What the group or block of that name is worth as it is."""
        group = self._groups.by_name.get(name)
        part = Part(name, group.channels if group else None)
        try:
            part = replace(part, carried=self._carried(name))
        except ConfigError as error:
            part = replace(part, carried_reason=str(error))
        try:
            without = silenced(self._task.model, group) if group else drop(self._task.model, [name])
            contribution = self._loss(self._predict(without)) - self._loss(self._whole)
        except (CandidateError, ConfigError) as error:
            return replace(part, contribution_reason=str(error))
        if not math.isfinite(contribution):
            return replace(part, contribution_reason="the loss is not finite")
        return replace(part, contribution=contribution)

    def made(self, wanted: Cut) -> tuple[Cut, nn.Module | None]:
        """The cut with all that is known without a device, and its network, None where it cannot be made."""
        task, config = self._task, FineTuning()
        try:
            model = cut(
                task.model,
                task.example,
                wanted.pruning,
                self._criterion,
                groups=self._groups,
                evidence=self._evidence,
            )
            training.recalibrate(
                model, task, batches=config.recalibrate_batches, batch_size=config.batch_size, seed=_SEED
            )
            predictions = self._predict(model)
            score = training.score_of(predictions, task)
        except (CandidateError, ConfigError) as error:  # a criterion may judge some groups and not others
            return replace(wanted, failure=Failure(type(error).__name__, str(error))), None
        cost = count(model, task.example)
        judged = replace(
            wanted,
            score=score,
            change=score.metric - self.score.metric,
            interval=self._interval(predictions, score.metric),
            params=cost.params,
            macs=cost.macs,
        )
        return self._with_carried(judged, model), model

    def _with_carried(self, wanted: Cut, model: nn.Module) -> Cut:
        """With what the connections of the part still carry in the cut network, as it is after recalibration."""
        if wanted.part in wanted.pruning.dropped:
            return replace(wanted, carried=0.0)
        try:
            before = sum(connections.numel() for connections in self._evidence.group(wanted.part).carried)
            after = [part for group in self._left(wanted.part, model) for part in group.carried]
        except (CandidateError, ConfigError) as error:
            return replace(wanted, carried_reason=str(error))
        return replace(wanted, carried=sum(float(connections.double().sum()) for connections in after) / before)

    def _left(self, name: str, model: nn.Module) -> list[Group]:
        """The connections of a group in the cut network.

        Where so little is left that it can be cut no further, such as a single head, it is no group there, and its
        connections are all those of the layers that read it. Raises ConfigError where these read something else as well.
        """
        task = self._task
        groups = find_groups(model, task.example)
        evidence = Evidence(model, task, task.example, groups, seed=_SEED)
        if name in groups.by_name:
            return [evidence.group(name)]
        readers = _readers(self._groups.by_name[name], model)
        if any(axis.owned.numel() != axis.size for axis in readers):
            raise ConfigError("what reads its channels reads others as well, and they cannot be told apart")
        return [evidence.layer(axis.tensor) for axis in readers]

    def _carried(self, name: str) -> float:
        """The mean absolute activation that a connection of the part carries in the unpruned network."""
        groups: Sequence[Group] = [self._evidence.group(name)] if name in self._groups.by_name else self._layers(name)
        carried = [connections.double() for group in groups for connections in group.carried]
        return sum(float(part.sum()) for part in carried) / sum(part.numel() for part in carried)

    def _layers(self, block: str) -> list[Group]:
        """The single weights of the layers of a block."""
        inside = [
            f"{block}.{name}"
            for name, parameter in self._task.model.get_submodule(block).named_parameters()
            if parameter.dim() > 1
        ]
        return [self._evidence.layer(name) for name in inside]

    def _predict(self, model: nn.Module) -> training.Predictions:
        return training.predict(model, self._task, "validation", limit=self._examples, seed=_SEED)

    def _loss(self, predictions: training.Predictions) -> float:
        """The mean loss, averaged over batches of 100 examples."""
        batches = list(
            zip(torch.split(predictions.outputs, _BATCH), torch.split(predictions.targets, _BATCH), strict=True)
        )
        with training.seeded(_SEED), torch.no_grad():
            total = sum(float(self._task.loss(outputs, targets)) * len(targets) for outputs, targets in batches)
        return total / len(predictions.targets)

    def _interval(self, predictions: training.Predictions, metric: float) -> tuple[float, float] | None:
        before, after = self._whole.right, predictions.right
        if before is None or after is None or self.interval_reason or not self._is_accuracy(predictions, metric):
            return None
        change = training.accuracy_change(before, after)
        return change.low, change.high

    @staticmethod
    def _is_accuracy(predictions: training.Predictions, metric: float) -> bool:
        right = predictions.right
        return right is not None and math.isclose(metric, float(right.double().mean()), abs_tol=1e-6)


def silenced(model: nn.Module, group: ChannelGroup) -> nn.Module:
    """A copy of ``model`` in which nothing reads the group's channels: whatever they are, the next layers see zeros.

    Raises ConfigError when nothing that can be seen reads them.
    """
    quiet = copy.deepcopy(model).eval()
    readers = _readers(group, quiet)
    if not readers:
        raise ConfigError("nothing that can be seen reads its channels")
    tensors = quiet.state_dict()  # they share their memory with the model's own
    for axis in readers:
        tensors[axis.tensor].index_fill_(axis.dim, axis.owned.flatten(), 0.0)
    return quiet


def _readers(group: ChannelGroup, model: nn.Module) -> list[Axis]:
    """The weights of ``model`` that read the group's channels."""
    tensors = model.state_dict()
    return [axis for axis in group.axes if not axis.produces and tensors[axis.tensor].dim() > 1]


def _below(group: ChannelGroup, multiple: int) -> tuple[int, ...]:
    """The legal widths below the full one; any number of channels where no multiple is legal."""
    floor = SpaceConfig().floor
    legal = legal_widths(group, multiple, floor, _LEAST_WIDTHS)
    return (legal if len(legal) > 1 else legal_widths(group, 1, floor))[:-1]


def _spread(widths: tuple[int, ...], wanted: int) -> tuple[int, ...]:
    """So many of the widths, evenly from the narrowest to the widest; the middle one if it is to be one."""
    if len(widths) <= wanted:
        return widths
    if wanted == 1:
        return (widths[len(widths) // 2],)
    return tuple(widths[round(at * (len(widths) - 1) / (wanted - 1))] for at in range(wanted))
