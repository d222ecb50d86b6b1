"""What the options of ``joulefront prune`` ask for: removals and a recovery."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.prune_records import Recovery, Removal

_PAIRED = ("ratio", "of", "scope", "criterion", "schedule")
_FLOORED = ("iterative", "adaptive")
_HAVE_WIDTHS = {"channel", "head"}


def removals(options: Mapping[str, Any]) -> list[Removal]:
    """One removal for each granularity, in their order; every option has been given once for all, or once for each.

    Raises ConfigError for another number of them, and for options that do not go together.
    """
    names: Sequence[str] = options["granularity"]
    paired = {option: _each(option, options[option], names) for option in _PAIRED}
    shares = dict(_share(text) for text in options["group"])
    if shares and len(names) > 1:
        raise ConfigError(
            "--group goes with a single --granularity: prune in two runs, the second from the first's folder"
        )
    return [
        Removal(
            granularity=name,  # type: ignore[arg-type]  # click has seen to it
            ratio=paired["ratio"][index],
            of=paired["of"][index],
            scope=paired["scope"][index],
            shares=shares,
            criterion=None if paired["criterion"][index] is None else plugin(paired["criterion"][index], "--criterion"),
            schedule=_schedule(paired["schedule"][index], options["steps"], options["floor_accuracy"]),
            exclude=tuple(options["exclude"]),
            # These are about widths: of several granularities some may have none, but not all of them.
            multiple=options["multiple"] if name in _HAVE_WIDTHS or _HAVE_WIDTHS.isdisjoint(names) else 1,
            floor=options["floor"] if name in _HAVE_WIDTHS or _HAVE_WIDTHS.isdisjoint(names) else None,
        )
        for index, name in enumerate(names)
    ]


def recovery(options: Mapping[str, Any]) -> Recovery:
    """How each step is recovered."""
    return Recovery(
        distillation=options["distil"],
        device=options["compute"],
        **{name: options[name] for name in ("epochs", "learning_rate", "batch_size", "temperature", "patience")},
    )


def plugin(text: str, option: str) -> Plugin:
    """What an option names: a name, or a TOML table such as ``{kind = "gradual", end_step = 200}``. Raises ConfigError."""
    if not text.lstrip().startswith("{"):
        return Plugin(kind=text) if text.strip() else _refuse(option, text, "expected a name")
    try:
        return Plugin.model_validate(tomllib.loads(f"table = {text}")["table"])
    except tomllib.TOMLDecodeError as error:
        return _refuse(option, text, f"not valid TOML: {error}")
    except ValidationError:
        return _refuse(option, text, "expected a kind in the table, as in '{kind = \"gradual\", end_step = 200}'")


def _refuse(option: str, text: str, reason: str) -> Plugin:
    raise ConfigError(f"{option} {text}: {reason}")


def _each(option: str, values: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """The option's value for each granularity; None where it was not given."""
    if len(values) in (0, 1):
        return [*values, None][:1] * len(names)
    if len(values) != len(names):
        raise ConfigError(
            f"--{option}: given {len(values)} times for {len(names)} granularities: give it once for all, or once for each"
        )
    return list(values)


def _share(text: str) -> tuple[str, float]:
    """A group's name and share, out of ``NAME=SHARE``."""
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError:
        raise ConfigError(f"--group {text}: expected NAME=SHARE, as in layer1.0.conv1=0.3") from None


def _schedule(text: str | None, steps: int | None, floor: float | None) -> Plugin:
    """The schedule with what was given apart from it."""
    extra = {name: value for name, value in (("steps", steps), ("floor", floor)) if value is not None}
    schedule = plugin(text or ("iterative" if extra else "one-shot"), "--schedule")
    if steps is not None and schedule.kind != "iterative":
        raise ConfigError(f"--steps is of the schedule iterative, not {schedule.kind}")
    if floor is not None and schedule.kind not in _FLOORED:
        raise ConfigError(f"--floor-accuracy is of the schedules {' and '.join(_FLOORED)}, not {schedule.kind}")
    if schedule.kind == "adaptive" and "floor" not in {**schedule.arguments, **extra}:
        raise ConfigError("--schedule adaptive needs the least accuracy that is good enough: --floor-accuracy 0.9")
    if floor is not None and floor > 1:
        raise ConfigError(f"--floor-accuracy {floor:g}: no network can reach that: expected a share, such as 0.95")
    if twice := set(extra) & set(schedule.arguments):
        raise ConfigError(f"--schedule {schedule.kind}: {twice.pop()} is given twice, in the table and as an option")
    return Plugin(kind=schedule.kind, **schedule.arguments, **extra)
