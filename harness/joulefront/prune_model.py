"""Pruning one model without a device and without a search: take something away, recover, judge; step by step.

    from joulefront.prune_model import Recovery, Removal, prune
    pruned = prune(task, Removal(ratio=0.5, of="macs", criterion=Plugin(kind="taylor")), recovery=Recovery(epochs=5))
    pruned.model, pruned.figures.macs, pruned.test

A criterion and a schedule are named as in a study file: ``joulefront.config.Plugin``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from joulefront import plugins, training
from joulefront import prune as criteria
from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.protocols import Criterion, Listener, Task
from joulefront.prune import schedules
from joulefront.prune.cost import count
from joulefront.prune.granularities import (
    NO_GROUPS,
    Blocks,
    Channels,
    Granularity,
    Network,
    There,
    Weights,
    check_excluded,
    sparsity_of,
)
from joulefront.prune.masks import masks_of
from joulefront.prune.rationing import Rationing
from joulefront.prune.schedules import Schedule, Tried
from joulefront.prune.storage import serialised
from joulefront.prune_records import Figures, Pruned, Recovery, Removal, Step, path_to
from joulefront.space_records import Pruning
from joulefront.tasks.task import check
from joulefront.training import Masks

__all__ = ["Pruned", "Recovery", "Removal", "prune"]

_FLOOR = 0.1
_RECOVERY = Recovery()


def prune(
    task: Task,
    *removals: Removal,
    recovery: Recovery = _RECOVERY,
    seed: int = 0,
    listener: Listener | None = None,
    folder: Path = Path(),
) -> Pruned:
    """Prune the task's model, which is left as it is, by each of ``removals`` in turn, and recover it after each step.

    A later removal begins with what the one before left, and its ratio is a share of that. ``seed`` decides whatever is
    drawn: the calibration examples, the order of the training examples, augmentation. The same arguments give the same
    network on one thread of the same machine. ``folder`` is where a user's own criterion or schedule is named from.

    Raises ConfigError for what cannot be: a ratio, a name, a criterion that cannot judge, a task without the data that
    this takes; PruneError for a model that cannot be cut so; TrainError when fine-tuning fails.
    """
    check(task, needs_data=None not in (task.train, task.validation, task.test))
    # Single weights need no groups, which not every model can be traced for.
    cuts = any(removal.granularity != "weight" for removal in removals)
    start = Network.unpruned(task.model, task.example) if cuts else Network(task.model, NO_GROUPS, Pruning())
    run = _Run(task, start, recovery, seed, listener, folder)
    for removal in removals:
        run.remove(removal)
    return run.result()


@dataclass(frozen=True, slots=True)
class _Made:
    """A network that a schedule may begin a step with: its figures, and the number of the step that made it."""

    network: Network
    figures: Figures
    number: int


class _Run:
    """One model's pruning, under way."""

    def __init__(
        self, task: Task, start: Network, recovery: Recovery, seed: int, listener: Listener | None, folder: Path
    ) -> None:
        self._task, self._recovery, self._seed, self._listener, self._folder = task, recovery, seed, listener, folder
        if recovery.epochs and task.train is None:
            raise ConfigError(
                "the task has no train split to recover the pruned model with: give it one, or ask for no fine-tuning "
                "(--epochs 0), with a criterion that judges by the weights alone, such as 'l2'"
            )
        training.resolve_device(recovery.device)  # refused before any work
        self._steps: list[Step] = []
        self._warnings: list[str] = []
        self._unpruned = self._figures(task.model)
        self._start = start
        self._now = _Made(start, self._unpruned, 0)

    def remove(self, removal: Removal) -> None:
        """One removal, step by step as its schedule asks."""
        start = self._now.network
        check_excluded(self._task.model, removal.exclude)
        kind = self._granularity(removal)
        rationing = Rationing(
            kind,
            start,
            self._task,
            self._criterion(removal),
            ratio=removal.ratio,
            of=removal.of,
            scope=removal.scope,
            shares=removal.shares,
            seed=self._seed,
        )
        schedule: Schedule = plugins.build(
            removal.schedule, schedules.READY, folder=self._folder, where="--schedule", target=rationing.target
        )
        made, history = [self._now], [Tried(0.0, _metric(self._now.figures))]
        while (step := schedule.next(history)) is not None:
            before = made[step.start]
            after = self._step(removal, kind, rationing, before, step)
            made.append(after)
            history.append(Tried(step.ratio, _metric(after.figures)))
        self._now = made[schedule.result(history)]
        if len({each.number for each in made}) == 1:
            raise ConfigError(
                f"--ratio {rationing.target:g} takes away less than the least {removal.granularity} that can go: give a "
                "larger one"
                + (", or a smaller --multiple or --floor" if removal.granularity in ("channel", "head") else "")
            )

    def result(self) -> Pruned:
        """What came of it all, judged on the test split."""
        network = self._now.network
        used = path_to(self._now.number, [step.start for step in self._steps])
        if self._steps and not used:
            self._warnings.append("every step fell below the accuracy's floor: the model is left as it was")
        test = unpruned_test = change = reason = None
        if self._task.test is None:
            reason = "the task has no test split"
        else:
            self._doing("judging on the test split")
            before, after = (
                training.predict(model, self._task, "test", device=self._recovery.device)
                for model in (self._task.model, network.model)
            )
            unpruned_test, test = (training.score_of(seen, self._task) for seen in (before, after))
            if before.right is not None and after.right is not None:
                change = training.accuracy_change(before.right, after.right)
        return Pruned(
            network.model,
            self._pruning(network),
            self._unpruned,
            tuple(replace(step, used=step.number in used) for step in self._steps),
            test,
            unpruned_test,
            change,
            reason,
            self._seed,
            tuple(self._warnings),
        )

    def _pruning(self, network: Network) -> Pruning:
        """What the network lost of the unpruned one, in the order of execution; nothing of the inside of missing blocks."""
        widths, left = network.pruning.widths, self._start.groups.without(network.pruning.dropped)
        return replace(
            network.pruning,
            widths={name: widths[name] for name in left.by_name if name in widths},
            sparsity=sparsity_of(network),
        )

    def _granularity(self, removal: Removal) -> Granularity:
        """What goes. Raises ConfigError for options that are of another granularity."""
        widths = removal.granularity in ("channel", "head")
        if not widths and (removal.multiple != 1 or removal.floor is not None):
            raise ConfigError(f"--multiple and --floor are about widths: --granularity {removal.granularity} has none")
        if removal.granularity == "weight":
            return Weights(removal.exclude)
        if removal.granularity == "block":
            self._doing("looking for blocks that can be taken out")
            return Blocks(self._now.network, self._task.example, removal.exclude)
        asked = [_FLOOR, *(1 - share for share in (removal.ratio, *removal.shares.values()) if share is not None)]
        floor = min(asked) if removal.floor is None else removal.floor
        return Channels(removal.granularity == "head", removal.exclude, removal.multiple, floor)

    def _criterion(self, removal: Removal) -> Criterion:
        default = Plugin(kind="contribution" if removal.granularity == "block" else "l2")
        criterion: Criterion = plugins.build(
            removal.criterion or default, criteria.READY, folder=self._folder, where="--criterion"
        )
        return criterion

    def _step(
        self, removal: Removal, kind: Granularity, rationing: Rationing, before: _Made, step: schedules.Step
    ) -> _Made:
        """What a step makes of the network ``before``; that one itself where there is no whole unit to take."""
        self._doing(f"step {len(self._steps) + 1}: {step.ratio:.1%} of the {removal.granularity}s' {removal.of}")
        there = rationing.left(before.network, step.ratio)  # asked before any fine-tuning: it may be out of reach
        if sum(map(len, there.values())) == sum(map(len, kind.there(before.network).values())):
            return before
        cut = None
        if step.course is not None:
            network = self._gradually(kind, rationing, before.network, step.course)
        else:
            network = kind.keeping(before.network, there, self._task.example)
            cut = self._figures(network.model)
            self._recover(network)
        after = self._figures(network.model)
        number = len(self._steps) + 1
        self._steps.append(Step(number, removal.granularity, before.number, step.ratio, removal.of, cut, after))
        if self._listener:
            accuracy = "" if after.score is None else f", accuracy {after.score.metric:.2%}"
            self._listener.say(f"step {number}: {after.params:,} parameters, {after.macs:,} MACs{accuracy}")
        return _Made(network, after, number)

    def _recover(self, network: Network) -> None:
        """Give the network, in place, its statistics and its accuracy back; what was set to zero stays so."""
        if self._task.train is None:
            if any(isinstance(module, _BatchNorm) for module in network.model.modules()):
                self._warn("there is no train split: BatchNorm's statistics are those of the unpruned model")
            return
        self._fine_tune(network.model, masks_of(network.model, network.pruning.sparsity))

    def _gradually(self, kind: Granularity, rationing: Rationing, before: Network, course: schedules.Course) -> Network:
        """The network with units taken out while it is fine-tuned, as the ``course`` says, and cut at the end."""
        network = replace(before, model=copy.deepcopy(before.model))
        held = masks_of(network.model, network.pruning.sparsity)
        there: There = kind.there(network)

        def silenced(step: int, steps: int) -> Masks | None:
            nonlocal there
            share = course(step, steps)
            if share is None:
                return None
            there = rationing.left(network, share, there)
            masks = kind.masks(network, there)
            return {name: _either(masks.get(name), held.get(name)) for name in {**masks, **held}}

        self._fine_tune(network.model, held, silenced)
        return kind.keeping(network, there, self._task.example)

    def _fine_tune(
        self, model: nn.Module, masks: Masks, on_step: Callable[[int, int], Masks | None] | None = None
    ) -> None:
        config, seed = self._recovery, self._seed
        training.recover(model, self._task, config, epochs=config.epochs, seed=seed, masks=masks, on_step=on_step)

    def _figures(self, model: nn.Module) -> Figures:
        cost = count(model, self._task.example)
        score = reason = None
        if self._task.validation is None:
            reason = "the task has no validation split"
        else:
            score = training.evaluate(model, self._task, "validation", device=self._recovery.device)
        nonzero = sum(int(parameter.count_nonzero()) for parameter in model.parameters())
        return Figures(cost.params, nonzero, cost.macs, len(serialised(model.state_dict())), score, reason)

    def _doing(self, what: str) -> None:
        if self._listener:
            self._listener.doing(what)

    def _warn(self, what: str) -> None:
        if what not in self._warnings:
            self._warnings.append(what)


def _either(one: Tensor | None, other: Tensor | None) -> Tensor:
    """What either mask silences, of which one is there."""
    present = [mask for mask in (one, other) if mask is not None]
    return present[0] if len(present) == 1 else present[0] | present[1]


def _metric(figures: Figures) -> float | None:
    return figures.score.metric if figures.score else None
