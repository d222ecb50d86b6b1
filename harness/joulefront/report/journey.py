"""One trial's whole journey: what it was made into, how it was judged and measured, and what beats it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from joulefront.errors import ConfigError
from joulefront.front import beats, front_of
from joulefront.records import Score, Trial
from joulefront.report import energy
from joulefront.report.composition import composition, line
from joulefront.report.documents import measurement, roles
from joulefront.report.estimated import in_words
from joulefront.report.pruned import pruned, pruning_words
from joulefront.report.units import percent, quantities, tail
from joulefront.results import Results
from joulefront.store import Store


def document(results: Results, number: int) -> dict[str, Any]:
    """Trial ``number``, as ``joulefront trials DIR N --json`` prints it. Raises ConfigError when there is none.

    Its samples are read from the store now: each repeat's median is in s.
    """
    trial = next((trial for trial in results.trials if trial.number == number), None)
    if trial is None:
        known = f"expected 0 to {results.trials[-1].number}" if results.trials else "none is recorded yet"
        raise ConfigError(f"{results.folder}: there is no trial {number}; {known}")
    candidate, artifact = trial.candidate, trial.artifact
    return {
        "study": results.name,
        "state": "settled" if results.settled else "searching",
        "trial": number,
        "fidelity": trial.fidelity,
        "genome": list(trial.genome),
        **pruned(results.space.pruning(trial.genome)),
        "roles": roles(results)[number],
        "recorded": results.recorded[number].isoformat(),
        "same_network": [
            {"trial": other.number, "fidelity": other.fidelity}
            for other in results.trials
            if other.genome == trial.genome and other is not trial
        ],
        "failure": {"kind": trial.failure.kind, "message": trial.failure.message} if trial.failure else None,
        "scores": {
            "validation": _score(candidate.score) if candidate else None,
            "test": _score(trial.test) if trial.test else None,
        },
        "params": candidate.params if candidate else None,
        "macs": candidate.macs if candidate else None,
        "size_b": artifact.size_b if artifact else None,
        "packed_b": artifact.packed_b if artifact else None,
        **composition(artifact),
        "measurement": _measured(results, trial),
        "objectives": dict(trial.objectives),
        "intervals": {name: list(interval) for name, interval in trial.intervals.items()},
        "limits": results.study.limits.given,
        "limited": dict(trial.limited),
        "violation": None if trial.failure else trial.violation,
        "front": _standing(results, trial),
        "hashes": {
            "candidate_key": candidate.key if candidate else None,
            "candidate_sha256": candidate.sha256 if candidate else None,
            "library_key": artifact.key if artifact else None,
            "library_sha256": artifact.sha256 if artifact else None,
        },
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "metric": score.metric,
        "error": score.error.value,
        "interval": [score.error.low, score.error.high],
        "examples": score.examples,
        "loss": score.loss,
        "macro": {name: {"value": one.value, "interval": [one.low, one.high]} for name, one in score.macro.items()},
    }


def _measured(results: Results, trial: Trial) -> dict[str, Any] | None:
    if trial.measurement is None:
        return None
    with Store.open(results.folder) as store:
        repeats_s = store.samples(trial.number)
    return {
        **measurement(results.study.device, replace(trial.measurement, repeats_s=repeats_s)),
        "repeats": [{"median": float(np.median(repeat)), "samples": len(repeat)} for repeat in repeats_s],
    }


def _standing(results: Results, trial: Trial) -> dict[str, Any]:
    """How it stands among the trials of its own fidelity; ``beaten_by`` says which of their front beat it.

    What no network of the front beats may be beaten by others: intervals make that no order.
    """
    rivals = [other for other in results.trials if other.fidelity == trial.fidelity]
    front = front_of(rivals, results.objectives)
    judged = trial.failure is None and trial.violation == 0
    on_front = any(other.number == trial.number for other in front)
    beaten_by = []
    if judged and not on_front:
        feasible = [other for other in rivals if other.failure is None and other.violation == 0]
        beaten_by = [other.number for other in front if beats(other, trial, results.objectives)] or [
            other.number for other in feasible if beats(other, trial, results.objectives)
        ]
    return {
        "fidelity": trial.fidelity,
        "on_front": on_front,
        "beaten_by": beaten_by,
        "reason": None if judged else "it failed" if trial.failure else "it breaks the study's limits",
    }


def lines(document: Mapping[str, Any]) -> str:
    """The journey for people, a fact a line."""
    rows: list[tuple[str, str]] = [
        ("trial", f"{document['trial']} of {document['study']}: {_WHAT[document['fidelity']]}"),
        ("", ", ".join(ROLE_NAMES[role] for role in document["roles"])),
        ("recorded", document["recorded"]),
        ("pruned to", ", ".join(pruning_words(document, named=True))),
        ("genome", " ".join(map(str, document["genome"]))),
    ]
    rows += [("same network", f"trial {same['trial']}: {_WHAT[same['fidelity']]}") for same in document["same_network"]]
    if failure := document["failure"]:
        rows.append(("failed", f"{failure['kind']}: {failure['message']}"))
    rows += _judged(document)
    rows += _timed(document["measurement"])
    rows += _limits(document)
    rows.append(("front", _front(document["front"], document["state"])))
    rows += [(name.replace("_", " "), value) for name, value in document["hashes"].items() if value]
    return "\n".join(f"{label:18}{text}" for label, text in rows if text)


_WHAT = {"screen": "screened in the search", "full": "settled: recovered and measured in full"}
ROLE_NAMES = {"unpruned": "the unpruned network", "front": "on the front", "knee": "the front's knee"}


def _judged(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for split, score in document["scores"].items():
        if score:
            low, high = (percent(value) for value in score["interval"])
            text = f"{percent(score['metric'])}; error {percent(score['error'])}, 95 % interval {low} to {high}"
            rows.append((split, f"{text}; {score['examples']:,} examples"))
            others = {name: one["value"] for name, one in score["macro"].items()}
            others |= {} if score["loss"] is None else {"loss": score["loss"]}
            rows.append(("", quantities(others)))
    if document["params"] is not None:
        packed = f" ({document['packed_b']:,} packed)" if document["packed_b"] is not None else ""
        size = f", {document['size_b']:,} bytes of library{packed}" if document["size_b"] is not None else ""
        rows.append(("size", f"{document['params']:,} parameters, {document['macs']:,} multiply-adds{size}"))
    rows.append(("kernels", line(document)))
    return rows


def _timed(measured: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if measured is None:
        return [("latency", "none: it was never measured"), ("energy", "none: it was never measured")]
    latency, provenance = measured["latency_s"], measured["provenance"]
    medians = ", ".join(f"{repeat['median'] * 1e3:.4g} ms ({repeat['samples']:,})" for repeat in measured["repeats"])
    rows = [
        ("latency", f"{in_words(latency, 'ms')}, {provenance['latency_s']}, {measured['grade']} grade"),
        ("", latency["indicative"] or ""),
        ("", f"p90 {latency['p90'] * 1e3:.4g} ms, {tail(measured)}, {latency['samples']:,} samples"),
        ("repeats", f"median (samples) of each: {medians}"),
        *energy.rows(measured),
        ("memory", _memory(measured)),
    ]
    for when, values in measured["conditions"].items():
        known = [f"{name} {_plain(value)}" for name, value in values.items() if value is not None]
        unknown = [name for name, value in values.items() if value is None]
        rows.append((when, "; ".join([", ".join(known), *([f"unknown: {', '.join(unknown)}"] if unknown else [])])))
    rows += [("set aside", f"a repeat that was no measurement: {reason}") for reason in measured["set_aside"]]
    return [*rows, *(("warning", warning) for warning in measured["warnings"])]


def _memory(measured: Mapping[str, Any]) -> str:
    if measured["memory_b"] is None:
        return f"none: {measured['memory_reason']}"
    return f"{in_words(measured['memory_b'], 'MB', 1e-6)}, at most, {measured['provenance']['memory_b']}"


def _limits(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not document["limits"] or document["violation"] is None:
        return []
    broken = document["violation"]
    verdict = "keeps them" if broken == 0 else f"breaks them by {broken:.1%} in all"
    return [("limits", f"{quantities(document['limits'])}; it has {quantities(document['limited'])}: {verdict}")]


def _front(standing: Mapping[str, Any], state: str) -> str:
    final = "the settled front" if state == "settled" else "the front of what is settled so far"
    among = "the search's front" if standing["fidelity"] == "screen" else final
    if standing["on_front"]:
        return f"on {among}"
    if standing["reason"]:
        return f"not on {among}: {standing['reason']}"
    return f"not on {among}: beaten by trial {', '.join(map(str, standing['beaten_by']))}"


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
