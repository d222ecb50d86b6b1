"""What a study came to, in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from joulefront.objectives import JUDGED
from joulefront.records import Trial
from joulefront.report import documents, drift
from joulefront.report.axes import AXES, provenance
from joulefront.results import Results


def headline(results: Results) -> str:
    """The knee against the unpruned network, or why there is nothing to say of it."""
    words = ["simulated"] if _is_simulated(results.comparable) else []
    if not results.settled:
        words.append("so far")
    said = f"{', '.join(words)}: {_sentence(results)}" if words else _sentence(results)
    return said[:1].upper() + said[1:]


def remarks(results: Results) -> list[tuple[str, str]]:
    """What a reader must know to judge the rest, each as a kind ("loud" or "") and a text."""
    loud, quiet = [], []
    if not results.settled and results.trials:
        loud.append("Screening figures: the search has not ended. The same search command goes on with it.")
    if _is_simulated(results.trials):
        why = results.facts.get("device", {}).get("simulated")
        said = f" (the device says: {why})" if why else ""
        loud.append(f"Simulated: these times and energies are an emulated machine's, not a board's{said}.")
    failed = sum(trial.failure is not None for trial in results.trials)
    counts = Counter(trial.fidelity for trial in results.trials)
    volume = f"; hypervolume {results.hypervolume.value:.3f}" if results.hypervolume else ""
    tried = f"{counts['screen']} networks tried in the search, {counts['full']} settled, {failed} failed"
    quiet.append(f"{tried}; {len(results.front)} on the front{volume}.")
    if drifted := drift.in_words(results):
        (loud if drifted[0] else quiet).append(f"{drifted[1]}.")
    if any(_is_estimated(trial) for trial in results.trials):
        loud.append("Estimated: the joules were computed by a model, and no meter read them.")
    reference = documents.front(results)["reference_reason"]
    if reference and results.trials:
        quiet.append(f"No unpruned network to compare with: {reference}.")
    elif results.unpruned and results.unpruned not in results.front:
        shown = f"The unpruned network, trial {results.unpruned.number}, is shown to compare with"
        quiet.append(f"{shown}: {documents.why_off_front(results.unpruned.violation)}.")
    if reason := next((trial.measurement.energy_reason for trial in results.comparable if trial.measurement), None):
        quiet.append(f"Energy is missing: {reason}.")
    return [*(("loud", text) for text in loud), *(("", text) for text in quiet)]


def _sentence(results: Results) -> str:
    knee, unpruned = results.knee, results.unpruned
    if not results.trials:
        return "no trial has been recorded yet."
    if knee is None:
        return _why_no_front(results.comparable)
    alone = "the only network on the front" if len(results.front) == 1 else "the front's best compromise"
    if unpruned is None:
        return f"trial {knee.number} is {alone}: {_figures(knee, results)}. The unpruned network, to compare with, did not run."
    if knee.number == unpruned.number:
        return f"the unpruned network, trial {knee.number}, is {alone}: {_figures(knee, results)}."
    costs = [
        f"{knee.objectives[name] / unpruned.objectives[name]:.2f} of the unpruned network's {_label(name, knee)}"
        for name in results.objectives
        if name not in JUDGED and unpruned.objectives[name]
    ]
    if not costs:
        return f"trial {knee.number} is {alone}: {_figures(knee, results)}."
    return f"trial {knee.number} needs {' and '.join(costs)} {_accuracy(knee, unpruned)}."


def _accuracy(knee: Trial, unpruned: Trial) -> str:
    """What the knee loses, in points of the metric on the validation split."""
    if knee.candidate is None or unpruned.candidate is None:
        raise ValueError(f"trials {knee.number} and {unpruned.number} are on a front without a score")
    points = round((unpruned.candidate.score.metric - knee.candidate.score.metric) * 100, 2)
    if not points:
        return "at the same validation accuracy"
    amount = f"{abs(points):g} point{'' if abs(points) == 1 else 's'}"
    return f"for {amount} of validation accuracy" if points > 0 else f"and gains {amount} of validation accuracy"


def _figures(trial: Trial, results: Results) -> str:
    return ", ".join(f"{_label(name, trial)} {AXES[name].shown(trial.objectives[name])}" for name in results.objectives)


def _label(name: str, trial: Trial) -> str:
    """What a quantity is called, with the word for one that no meter read."""
    return f"{'estimated ' if provenance(trial, name) == 'estimated' else ''}{AXES[name].label}"


def _why_no_front(trials: Sequence[Trial]) -> str:
    failures = Counter(trial.failure.kind for trial in trials if trial.failure)
    if not trials:
        return "no trial has been measured in full yet."
    if sum(failures.values()) == len(trials):
        kind, count = failures.most_common(1)[0]
        return f"all {len(trials)} trials failed, {count} of them by {kind}."
    return f"none of the {len(trials) - sum(failures.values())} networks that ran keeps the study's limits."


def _is_estimated(trial: Trial) -> bool:
    return bool(trial.measurement and trial.measurement.energy_provenance == "estimated")


def _is_simulated(trials: Sequence[Trial]) -> bool:
    return any(trial.measurement and trial.measurement.provenance == "simulated" for trial in trials)
