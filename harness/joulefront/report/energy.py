"""What a measurement's joules come to and what they are made of: as a document in SI units, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from joulefront import derived
from joulefront.records import Energy, EnergyWindow, Measurement, Trial
from joulefront.report.estimated import estimated, in_words


def made_of(measured: Measurement) -> dict[str, Any]:
    """What a measurement's document says of its joules: ``energy`` is what they are made of, None with a reason."""
    figures = derived.found(measured)
    made = measured.energy
    return {
        "inferences_per_j": estimated(figures["inferences_per_j"]),
        "energy_delay_js": estimated(figures["energy_delay_js"]),
        "energy": _made(made) if made else None,
        "energy_reason": None if made else measured.energy_reason or derived.NOT_TOLD,
    }


def meter_of(trials: Iterable[Trial]) -> dict[str, Any] | None:
    """What measured these trials' joules, what it covers and what they were multiplied by; None where nothing is known of it."""
    found = (trial.measurement.energy for trial in trials if trial.measurement)
    made = next((one for one in found if one), None)
    return {"name": made.meter, "covers": made.covers, "factor": made.factor} if made else None


def metered(meter: Mapping[str, Any]) -> str:
    """The same in words."""
    factor = f"; joules multiplied by {meter['factor']:.4g}, as it was calibrated" if meter["factor"] != 1 else ""
    return f"{meter['name']}: {meter['covers']}{factor}"


def document(measured: Measurement) -> dict[str, Any]:
    """All that a measurement's document says of its energy."""
    return {
        "energy_j": estimated(measured.energy_j),
        "reason": measured.energy_reason,
        **made_of(measured),
        "provenance": {
            "energy_j": measured.energy_provenance,
            **{name: derived.provenance(measured, name) for name in derived.NAMES},
        },
    }


def _made(made: Energy) -> dict[str, Any]:
    return {
        "meter": made.meter,
        "covers": made.covers,
        "factor": made.factor,
        "net_j": estimated(made.net_j),
        "net_reason": made.net_reason,
        "power_w": estimated(made.power_w),
        "idle_w": estimated(made.idle_w),
        "parts": dict(made.parts),
        "windows": [_window(window) for window in made.windows],
        "baselines": [_window(window) for window in made.baselines],
    }


def _window(window: EnergyWindow) -> dict[str, Any]:
    return {
        "energy_j": window.energy_j,
        "window_s": window.window_s,
        "inferences": window.inferences,
        "period_s": window.period_s,
        "cost_s": window.cost_s,
    }


def rows(measured: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A ``document``, or that of a whole measurement, in words, each with a label; joules, or why there are none, come first."""
    energy_j, made = measured["energy_j"], measured["energy"]
    if energy_j is None:
        return [("energy", f"none: {measured['reason']}")]
    provenance = measured["provenance"]["energy_j"]
    words = [("energy", f"{in_words(energy_j, 'mJ')} an inference, gross, {provenance}")]
    if made:
        words += _power(made, provenance)
    if measured["inferences_per_j"]:
        words.append(("per joule", f"{in_words(measured['inferences_per_j'], 'inferences', 1.0)}, {provenance}"))
    if measured["energy_delay_js"]:
        delay = measured["provenance"]["energy_delay_js"]
        words.append(("energy-delay", f"{in_words(measured['energy_delay_js'], 'mJ ms', 1e6)}, {delay}"))
    words += _meter(made) if made else [("meter", f"not known: {measured['energy_reason']}")]
    told = [energy_j, *([made["net_j"], made["power_w"], made["idle_w"]] if made else [])]
    reasons = dict.fromkeys(one["indicative"] for one in told if one and one["indicative"])
    return [*words, *(("indicative", reason) for reason in reasons)]


def _power(made: Mapping[str, Any], provenance: str) -> list[tuple[str, str]]:
    net = f"{in_words(made['net_j'], 'mJ')}, {provenance}" if made["net_j"] else f"none: {made['net_reason']}"
    idle = f"; idle {in_words(made['idle_w'], 'W', 1.0)}" if made["idle_w"] else ""
    return [("net", net), ("power", f"{in_words(made['power_w'], 'W', 1.0)}{idle}, {provenance}")]


def _meter(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    count, idle = made["windows"], made["baselines"]
    baselines = f", {len(idle)} idle ones of {_span(idle)}" if idle else ""
    said = [
        ("meter", metered({**made, "name": made["meter"]})),
        ("windows", f"{len(count)} of {_span(count)}{baselines}"),
    ]
    if cost_s := math.fsum(window["cost_s"] for window in count):
        share = cost_s / math.fsum(window["window_s"] for window in count)
        said.append(("reading it", f"took {share:.2%} of a core meanwhile: that is in the joules"))
    if made["parts"]:
        parts = ", ".join(f"{name} {share:.2%}" for name, share in made["parts"].items())
        said.append(("interval from", f"{parts} (halves, as shares of the value, in quadrature)"))
    if not {"gain", "calibration"} & made["parts"].keys():
        said.append(("scale", "nobody says how far the meter's may be off: that is not in the interval"))
    return said


def _span(windows: Sequence[Mapping[str, Any]]) -> str:
    low, high = (find(window["window_s"] for window in windows) for find in (min, max))
    return f"{low:.3g} s" if high < 1.05 * low else f"{low:.3g} to {high:.3g} s"
