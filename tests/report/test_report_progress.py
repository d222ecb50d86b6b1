"""Both ways to follow a study take the same calls and say what matters."""

import io

import pytest
from rich.console import Console

from joulefront.records import Failure, Trial
from joulefront.report.progress import ProgressBar, ProgressLines


@pytest.mark.parametrize("kind", [ProgressBar, ProgressLines])
def test_a_study_is_followed(kind: type[ProgressBar] | type[ProgressLines]) -> None:
    file = io.StringIO()
    with kind(Console(file=file, width=140, force_terminal=kind is ProgressBar)) as listener:
        listener.stage("opening the board")
        listener.say("energy: none, because")
        listener.stage("searching", 2)
        listener.doing("measuring on the board")
        listener.step(Trial(0, (1,), "screen", objectives={"error": 0.1, "latency_s": 0.002}), 0.25)
        listener.step(Trial(1, (0,), "screen", failure=Failure("Hung", "it hung")), 0.25)
    said = file.getvalue()
    for expected in ("opening the board", "energy: none, because", "searching", "hypervolume 0.250", "Hung: it hung"):
        assert expected in said
    assert ("2/2" if kind is ProgressBar else "error 10 %, latency 2 ms") in said
    assert "/?" not in said.splitlines()[-1]
