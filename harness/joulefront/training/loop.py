"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from joulefront.errors import ConfigError, JoulefrontError, TrainError
from joulefront.plugins import describe
from joulefront.protocols import Task
from joulefront.training.data import shuffled, split_of
from joulefront.training.device import Device, Precision, placed
from joulefront.training.distillation import Teacher
from joulefront.training.forward import forward, set_layout
from joulefront.training.seeds import seeded
from joulefront.training.stopping import Best, held_out
from joulefront.training.zeros import Masks, Zeros

WARM_UP = 0.1
"""The share of the steps in which the learning rate climbs to its peak."""


def fit(
    model: nn.Module,
    task: Task,
    *,
    epochs: float,
    learning_rate: float,
    batch_size: int,
    seed: int,
    precision: Precision,
    weight_decay: float = 5e-4,
    device: Device = "auto",
    teacher: nn.Module | None = None,
    temperature: float = 4.0,
    distillation: float = 0.5,
    patience: int | None = None,
    masks: Masks | None = None,
    on_step: Callable[[int, int], Masks | None] | None = None,
) -> None:
    """Train ``model``, in place, on the task's train split; leaves it in eval mode, float32, on the CPU.

    SGD with Nesterov momentum 0.9; the learning rate climbs linearly to ``learning_rate`` over the first tenth of the
    steps and falls to zero along a cosine (one cycle; Smith 2017, arXiv:1708.07120). ``epochs`` may be a fraction; an
    incomplete last batch is left out, because BatchNorm cannot learn from a single example. With ``precision``
    bfloat16, forward and backward run under autocast in the channels-last layout; the weights stay float32.

    With a ``teacher``, in eval mode, the loss is mixed with the distance to its outputs (``distillation.Teacher``: the
    share ``distillation`` at ``temperature``). With ``patience``, a tenth of the train split is held out (see ``held_out``),
    training ends after so many epochs without a lower loss there, and the weights are the best that an epoch ended with;
    the learning rate is high at first, so a patience of less than half of the epochs may give up too soon. What
    ``masks`` name stays zero. ``on_step``, called before each step with its number (from 0) and how many there are, sees
    ``model`` in eval mode on the CPU and returns other masks from then on, or None; then training does not end early, and
    the best weights are the best since the masks last changed.

    Raises ConfigError when there is nothing to train on, for a teacher of a task that does not classify and for masks
    that do not fit the model, and TrainError when the loss stops being finite.
    """
    dataset = split_of(task, "train")
    among, judged = held_out(dataset, seed) if patience is not None else (None, None)
    steps_per_epoch = max(1, (len(dataset) if among is None else len(among)) // batch_size)
    steps = round(epochs * steps_per_epoch)
    if steps == 0:
        if on_step is not None:
            raise ConfigError("there is no step to prune during: recover for more than 0 epochs")
        Zeros(model, masks)
        model.eval()
        return
    half = precision == "bfloat16"
    taught = None if teacher is None else Teacher(teacher, temperature, distillation)
    best = None if patience is None or judged is None else Best(task, dataset, judged, patience, batch_size)
    with placed(device, model, teacher) as place, seeded(seed), torch.enable_grad():
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, nesterov=True, weight_decay=weight_decay)
        zeros = Zeros(model, masks, optimizer)
        set_layout(model, torch.channels_last if half else torch.contiguous_format)
        model.train()
        try:
            for step, (inputs, targets) in enumerate(shuffled(dataset, batch_size, seed, steps, among=among)):
                if on_step is not None and (changed := _asked(on_step, step, steps, model, place)) is not None:
                    zeros = Zeros(model, changed, optimizer)
                    if best:
                        best.forget()
                optimizer.param_groups[0]["lr"] = learning_rate * one_cycle(step, steps)
                with torch.autocast(place, torch.bfloat16, enabled=half):
                    outputs = _trained(model, inputs, half, place).float()
                wanted = targets.to(place)
                loss = task.loss(outputs, wanted)
                if taught:
                    loss = taught.mixed(loss, outputs, inputs, wanted, place=place)
                _check_finite(loss, step, steps, learning_rate)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                zeros.restore()
                is_looked_at = (step + 1) % steps_per_epoch == 0 or step + 1 == steps
                if best and is_looked_at and best.look(model, place=place) and on_step is None:
                    break
            if best:
                best.restore(model)
        finally:
            model.eval()
            set_layout(model, torch.contiguous_format)
            optimizer.zero_grad(set_to_none=True)


def _trained(model: nn.Module, inputs: Any, half: bool, place: str) -> Tensor:
    """The outputs in training mode, in which a model may run layers that its evaluation never did. Raises TrainError."""
    try:
        return forward(model, inputs, channels_last=half, place=place)
    except (JoulefrontError, MemoryError):
        raise
    except Exception as error:
        raise TrainError(
            f"the model fails in training mode: {describe(error)}. What it runs in training alone, such as auxiliary heads, is "
            "not cut with the rest: leave it out of the model"
        ) from error


def one_cycle(step: int, steps: int) -> float:
    """The learning rate of ``step`` (from 0), as a share of its peak."""
    climb = max(1, round(WARM_UP * steps))
    if step < climb:
        return (step + 1) / climb
    return 0.5 * (1 + math.cos(math.pi * (step - climb + 1) / (steps - climb + 1)))


def _asked(
    on_step: Callable[[int, int], Masks | None], step: int, steps: int, model: nn.Module, place: str
) -> Masks | None:
    """What ``on_step`` says of this step; it may count on a model that computes as it will when it is deployed."""
    model.eval()
    if place != "cpu":
        model.to("cpu")
    try:
        return on_step(step, steps)
    finally:
        if place != "cpu":
            model.to(place)
        model.train()


def _check_finite(loss: Tensor, step: int, steps: int, learning_rate: float) -> None:
    """Raise TrainError for a loss that is not finite."""
    if not math.isfinite(value := loss.item()):
        raise TrainError(
            f"the loss is {value} at step {step + 1} of {steps}: a smaller learning rate may help, which peaks at "
            f"{learning_rate:g} (learning_rate in [recover] of a study, --learning-rate of joulefront prune)"
        )
