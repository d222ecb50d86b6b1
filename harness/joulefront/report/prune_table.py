"""A pruned model, for people: what each step took away, what that did to its accuracy, and what was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from joulefront.report.pruned import pruning_words
from joulefront.report.units import percent

_MOST_WORDS = 40


def table(document: Mapping[str, Any]) -> RenderableType:
    """The document of ``joulefront prune`` as a table of the steps, and lines about the outcome."""
    shown = Table(title=f"{document['task']}, pruned", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("step", "takes", "parameters", "not zero", "MACs", "weights, kB", "accuracy: cut", "recovered"):
        shown.add_column(heading, justify="left" if heading == "takes" else "right", no_wrap=heading != "takes")
    shown.add_row("0", "unpruned", *_figures(document["unpruned"]), "", _accuracy(document["unpruned"]))
    for step in document["steps"]:
        shown.add_row(
            str(step["step"]),
            _takes(step),
            *_figures(step["recovered"]),
            "while tuned" if step["cut"] is None else _accuracy(step["cut"]),
            _accuracy(step["recovered"]),
            style=None if step["used"] else "dim",
        )
    return Group(shown, Text("\n".join(f"{label:11}{text}" for label, text in _lines(document))))


def _lines(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    before, after = document["unpruned"], document["pruned"]
    words = pruning_words({**document, "criterion": None}, named=True)
    left = [
        f"{name} {after[key] / before[key]:.1%}"
        for key, name in (("params", "parameters"), ("nonzero", "not zero"), ("macs", "MACs"), ("size_b", "bytes"))
        if before[key]
    ]
    lines = [
        ("left", ", ".join(left) + " of the unpruned"),
        (
            "pruned to",
            ", ".join(words[:_MOST_WORDS]) + (", …" if len(words) > _MOST_WORDS else "") or "nothing: unpruned",
        ),
        ("validation", _judged(after["validation"], after["validation_reason"])),
        ("test", _judged(document["test"], document["test_reason"])),
    ]
    if document["test"] is not None:
        lines.append(("", f"the unpruned model {_judged(document['unpruned_test'], None)}"))
    if (change := document["test_change"]) is not None:
        low, high = (f"{bound * 100:+.2f}" for bound in change["interval"])
        lines.append(("", f"change {change['value'] * 100:+.2f} points, in pairs (95 % interval {low} to {high})"))
    if document["onnx"]["file"]:
        verified = document["onnx"]["verified_by"]
        checked = f"gives torch's output in {verified}" if verified else document["onnx"]["verified_reason"]
        lines.append(("ONNX", f"opset {document['onnx']['opset']}, {checked}"))
    lines += [("warning", warning) for warning in document["warnings"]]
    size_b = sum(file["size_b"] for file in document["files"].values())
    lines.append(("folder", f"{document['out']}: {len(document['files']) + 1} files, {size_b / 1e3:,.1f} kB"))
    lines.append(("in torch", "in that folder: from rebuild import rebuild; model = rebuild(YourModel())"))
    return lines


def _takes(step: Mapping[str, Any]) -> str:
    kind = step["granularity"]
    of = {"units": f"{kind}s", "macs": f"MACs, by {kind}", "params": f"parameters, by {kind}"}[step["of"]]
    begins = f", from step {step['start']}" if step["start"] != step["step"] - 1 else ""
    return f"{step['ratio']:.1%} of {of}{begins}{'' if step['used'] else '; given up'}"


def _figures(figures: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{figures['params']:,}",
        f"{figures['nonzero']:,}",
        f"{figures['macs']:,}",
        f"{figures['size_b'] / 1e3:,.1f}",
    )


def _accuracy(figures: Mapping[str, Any]) -> str:
    score = figures["validation"]
    return "not judged" if score is None else percent(score["metric"])


def _judged(score: Mapping[str, Any] | None, reason: str | None) -> str:
    if score is None:
        return f"none: {reason}"
    low, high = score["interval"]
    return f"{percent(score['metric'])} of {score['examples']:,} examples (95 % interval {percent(low)} to {percent(high)})"
