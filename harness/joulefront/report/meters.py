"""What could measure a device's energy, and how two meters compare, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_FIGURES = {"period_s": "how often it has a new value", "resolution": "its steps", "read_s": "what a read takes"}
_PREFIXES = ((1.0, ""), (1e3, "m"), (1e6, "µ"), (1e9, "n"))


def found(document: Mapping[str, Any]) -> str:
    """The document of ``joulefront devices meters``: each meter, those that cannot be used with their fix."""
    lines = [_title(document)]
    absent = [meter for meter in document["meters"] if _is_absent(meter)]
    meters = [meter for meter in document["meters"] if not _is_absent(meter)]
    for meter in meters:
        marks = [word for word in ("used", "auto") if meter[word]]
        lines.append("  ".join([meter["name"], *([f"({', '.join(marks)})"] if marks else [])]))
        lines += [f"    {text}" for text in (_usable(meter) if meter["reason"] is None else _unusable(meter))]
    if absent:
        lines.append("not there")
        lines += [f"    {meter['name']}: {meter['reason']}" for meter in absent]
    if (why := document["reason"]) and not any(meter["used"] for meter in meters):
        for meter in absent:
            why = why.replace(meter["reason"], f"{meter['name']} is not there")
        lines.append(f"none is used: {why}")
    if any(meter["place"] == "device" and not (meter["reason"] or meter["used"]) for meter in meters):
        lines.append(f"To choose one: joulefront devices edit {document['device']} --meter NAME")
    return "\n".join(lines)


def calibrated(document: Mapping[str, Any]) -> str:
    """The document of ``joulefront devices calibrate``, a fact a line."""
    rows = [
        ("meter", f"{document['meter']}: {document['covers']}"),
        ("against", f"{document['against']}: {document['against_covers']}"),
        (
            "windows",
            f"{document['rounds']} of each load, {document['window_s']:.3g} s or longer, {document['provenance']}",
        ),
    ]
    for which in ("idle", "busy"):
        load = document[which]
        low, high = load["interval"]
        watts = f"{load['power_w']:.4g} W and {load['against_power_w']:.4g} W"
        rows.append((which, f"{watts}: ratio {load['ratio']:.4g}, 95 % interval {low:.4g} to {high:.4g}"))
    factor = document["factor"]
    low, high = factor["interval"]
    rows.append(("both", f"ratio {factor['value']:.4g}, 95 % interval {low:.4g} to {high:.4g}"))
    rows += [("indicative", factor["indicative"])] if factor["indicative"] else []
    rows += [("warning", warning) for warning in document["warnings"]]
    device = document["device"]
    if document["stored"]:
        rows += [
            ("kept", f"from now on, joules of {document['meter']} on {device} are multiplied by {factor['value']:.4g}"),
            ("undo", f"joulefront devices calibrate {device} --forget"),
        ]
    else:
        rows.append(("not kept", document["reason"]))
        table = document["calibration"] or {}
        rows += [("", "[calibration]")] * bool(table)
        rows += [("", f"{key} = {json.dumps(value, ensure_ascii=False)}") for key, value in table.items()]
    return "\n".join(f"{label:12}{text}" for label, text in rows)


def forgotten(document: Mapping[str, Any]) -> str:
    """What was taken out of a device's file."""
    known = document["forgotten"]
    return (
        f"joules of {known['meter']} on {document['device']} are no longer multiplied by {known['factor']:.4g} "
        f"(against {known['against']}, at {known['at']})"
    )


def _is_absent(meter: Mapping[str, Any]) -> bool:
    """Whether the device has nothing of that kind."""
    return not meter["covers"] and meter["fix"] is None


def _title(document: Mapping[str, Any]) -> str:
    known = document["calibration"]
    factor = f"; joules of {known['meter']} are multiplied by {known['factor']:.4g}" if known else ""
    return f"{document['device']}: its meter is {document['meter']!r}{factor}"


def _usable(meter: Mapping[str, Any]) -> list[str]:
    unit = meter["resolution_unit"]
    seen = [
        _small("a new value every", meter["period_s"], "s"),
        _small("steps of", meter["resolution"], unit),
        _small("a read takes", meter["read_s"], "s"),
    ]
    where = "on this host, " if meter["place"] == "host" else ""
    said = [meter["covers"], ", ".join([f"{where}{meter['kind']}, {meter['provenance']}", *filter(None, seen)])]
    if meter["doubt"]:
        said.append(f"warning: {meter['doubt']}")
    reasons: dict[str, list[str]] = {}
    for name, why in meter["unseen"].items():
        reasons.setdefault(why, []).append(_FIGURES[name])
    return [*said, *(f"not known: {' and '.join(names)}: {why}" for why, names in reasons.items())]


def _unusable(meter: Mapping[str, Any]) -> list[str]:
    where = " on this host" if meter["place"] == "host" else ""
    said = [f"cannot be used{where}: {meter['reason']}"]
    return [*said, f"fix: {meter['fix']}"] if meter["fix"] else said


def _small(what: str, value: float | None, unit: str) -> str:
    """Nothing of what did not show while it was looked at."""
    if value is None:
        return ""
    factor, prefix = next(((by, sign) for by, sign in _PREFIXES if value * by >= 1), _PREFIXES[-1])
    return f"{what} {value * factor:.3g} {prefix}{unit}"
