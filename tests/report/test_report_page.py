"""The pages: one file each, complete, safe and true, whatever a study holds."""

import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from joulefront.comparison import compare
from joulefront.errors import StoreError
from joulefront.records import Failure, Visit
from joulefront.report import documents, tables
from joulefront.report.comparison_contents import comparison_contents
from joulefront.report.comparison_document import document as comparison_document
from joulefront.report.headline import headline, remarks
from joulefront.report.made import how_made
from joulefront.report.page import comparison_page, study_page, write
from joulefront.report.study_contents import study_contents
from joulefront.results import Results, read
from joulefront.store import Store
from odd_studies import HOSTILE, ODD, hostile, many
from written import failed_trial, measured_trial, write_study


def held(page: str) -> dict:
    """What a page's data block holds, as its script reads it."""
    packed = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])
    return json.loads(gzip.decompress(base64.b64decode(packed)), parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read(write_study(tmp_path_factory.mktemp("settled"), fails=lambda number: number == 5))


def test_a_page_holds_every_trial_as_it_was_measured(settled: Results) -> None:
    contents = held(study_page(settled))
    assert [trial["trial"] for trial in contents["trials"]] == [trial.number for trial in settled.trials]
    for shown, trial in zip(contents["trials"], settled.trials, strict=True):
        if trial.failure:
            assert shown["failure"] == {"kind": "CompileError", "message": trial.failure.message}
            assert shown["values"] == {}
            assert shown["kernels"] == "not known: it was never compiled"
            continue
        measured = trial.measurement
        assert shown["values"]["latency_s"] == measured.latency_s.value
        assert shown["intervals"]["latency_s"] == [measured.latency_s.low, measured.latency_s.high]
        assert shown["values"]["error"] == pytest.approx(1 - shown["values"]["accuracy"])
        assert "energy_j" not in shown["values"]
        assert shown["energy_reason"] == "a written device has no meter"
        assert shown["provenance"]["latency_s"] == "simulated"
        assert shown["repeat_medians_s"] == list(settled.repeat_medians_s[trial.number])
        assert shown["library_sha256"] == trial.artifact.sha256
        assert shown["kernels"] == "2 of ours, 1 of them tuned; 1 function of TVM's own loops: cumsum"
    assert contents["knee"] == settled.knee.number
    assert contents["front"] == [trial.number for trial in settled.front]
    assert contents["provenances"] == ["simulated"]


def test_a_page_asks_for_nothing_and_runs_only_its_own_scripts(settled: Results) -> None:
    page = study_page(settled)
    bare = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"\bsrc=|url\(|@import|<link", bare)
    assert not re.search(r"https?://", re.sub(r'id="(data|plotly)">.*?</script>', "", page))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    own = re.search(r"<script>(.*?)</script>", page, flags=re.DOTALL)[1]
    plotly = gzip.decompress(base64.b64decode(re.search(r'id="plotly">(.*?)</script>', page)[1]))
    for script in (own.encode(), plotly):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" in policy
    assert "unsafe-inline" not in re.search(r"script-src ([^;]*)", policy)[1]


def test_what_others_wrote_is_never_markup(tmp_path: Path) -> None:
    results = hostile(tmp_path)
    every = replace(
        results, trials=tuple(replace(trial, failure=Failure(HOSTILE, HOSTILE)) for trial in results.trials)
    )
    for page in (study_page(results), study_page(every)):
        assert "<img" not in page
        assert "\x1b" not in page
        assert "\x1b" not in json.dumps(held(page), ensure_ascii=False)
        assert page.count("</script>") == 3
    assert "onerror" in study_page(every)  # the headline names the failure, in letters
    assert any(HOSTILE[:20] in warning["reason"] for warning in held(study_page(results))["warnings"])


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ("nothing yet", "So far: no trial has been recorded yet."),
        ("all failed", "So far: all 12 trials failed, 12 of them by CompileError."),
        ("limits that nothing keeps", "Simulated, so far: none of the 12 networks that ran keeps the study's limits."),
    ],
)
def test_why_there_is_no_front_is_said(odd: str, says: str, tmp_path: Path) -> None:
    results = ODD[odd](tmp_path)
    if odd == "all failed":
        assert results.knee is None
    assert headline(results) == says


def test_the_headline_is_the_knee_against_the_unpruned_network(settled: Results) -> None:
    knee, unpruned = settled.knee, settled.unpruned
    share = knee.measurement.latency_s.value / unpruned.measurement.latency_s.value
    points = round((unpruned.candidate.score.metric - knee.candidate.score.metric) * 100, 2)
    assert headline(settled) == (
        f"Simulated: trial {knee.number} needs {share:.2f} of the unpruned network's latency for {points:g} points of "
        "validation accuracy."
    )
    better = replace(knee.candidate, score=replace(knee.candidate.score, metric=unpruned.candidate.score.metric + 0.01))
    gained = tuple(replace(trial, candidate=better) if trial == knee else trial for trial in settled.trials)
    assert headline(replace(settled, trials=gained)).endswith("and gains 1 point of validation accuracy.")


def test_an_unpruned_network_that_breaks_a_limit_is_not_called_beaten(settled: Results) -> None:
    trials = tuple(replace(one, violation=0.5) if one == settled.unpruned else one for one in settled.trials)
    shown = f"The unpruned network, trial {settled.unpruned.number}, is shown to compare with: it breaks the study's limits."
    over = replace(settled, trials=trials)
    assert ("", shown) in remarks(over)
    *_, below = tables.front(documents.front(over)).renderables
    assert "The unpruned network is shown to compare with: it breaks the study's limits." in str(below)


def test_the_headline_names_energy_where_there_is_any(tmp_path: Path) -> None:
    results = ODD["energy"](tmp_path)
    assert re.search(
        r"of the unpruned network's latency and \d\.\d\d of the unpruned network's energy", headline(results)
    )


def test_a_single_network_and_one_without_another_to_compare_with(tmp_path: Path) -> None:
    assert "the unpruned network, trial 1, is the only network on the front" in headline(
        ODD["one point"](tmp_path / "a")
    )
    alone = ODD["no unpruned network"](tmp_path / "b")
    assert "The unpruned network, to compare with, did not run." in headline(alone)
    why = "the unpruned network failed: CompileError: written to fail: <b>trial 0</b>"
    assert ("", f"No unpruned network to compare with: {why}.") in remarks(alone)


def test_a_reader_is_warned_of_what_is_not_final_or_not_measured(tmp_path: Path) -> None:
    loud = [text for kind, text in remarks(ODD["searching"](tmp_path)) if kind == "loud"]
    assert any(text.startswith("Screening figures: the search has not ended") for text in loud)
    assert any(text.startswith("Simulated:") for text in loud)


def test_reasons_that_differ_by_numbers_are_one(settled: Results) -> None:
    trials = [failed_trial(number, (number, 0, 0)) for number in range(3)]
    other = replace(trials[0], number=9, failure=Failure("Hung", "it did not answer"))
    contents = study_contents(replace(settled, settled=False, trials=(*trials, other)))
    assert [(group["reason"], group["alike"], group["trials"]) for group in contents["failures"]] == [
        ("CompileError: written to fail: <b>trial 0</b>", False, [0, 1, 2]),
        ("Hung: it did not answer", True, [9]),
    ]


def test_how_the_numbers_were_made_is_told(settled: Results) -> None:
    told = {part["title"]: dict(part["rows"]) for part in how_made(settled)}
    assert told["Device"]["model"] == "written board"
    assert told["Meter"]["sensor"].startswith("none: ")
    assert told["Measuring"]["repeats, full"].startswith("3 to 3 in ")
    assert told["Accuracy"]["test"].startswith("1,000 examples")
    assert told["Search"]["left out"] == "energy: the device has no meter"
    assert "Zeleny" in told["Reading the numbers"]["knee"]
    assert told["Reading the numbers"].keys() >= {"interval of latency", "interval of energy", "hypervolume", "front"}


@pytest.mark.parametrize("odd", ODD)
def test_every_odd_study_makes_a_page(odd: str, tmp_path: Path) -> None:
    contents = held(study_page(ODD[odd](tmp_path)))
    assert contents["headline"]
    assert (contents["figures"]["front"] is None) == (odd in ("nothing yet", "all failed"))


def test_two_thousand_trials_make_a_page_of_less_than_five_megabytes(settled: Results) -> None:
    page = study_page(many(settled))
    assert len(held(page)["trials"]) == 2000
    assert len(page.encode()) < 5_000_000


def test_a_page_is_written_whole_or_a_message_says_why_not(tmp_path: Path) -> None:
    write(tmp_path / "page.html", "a µ")
    assert (tmp_path / "page.html").read_text("utf-8") == "a µ"
    with pytest.raises(StoreError, match=r"absent/page.html cannot be written: .*; make room|No such file"):
        write(tmp_path / "absent" / "page.html", "")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_page_needs_neither_torch_nor_tvm() -> None:
    program = "import sys, joulefront.report.page; sys.exit(bool({'torch', 'tvm', 'tvm_ffi'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def two(folder: Path, *, visited: bool = False) -> list[Results]:
    """Two studies of one model on two devices; the second may have measured the first one's front."""
    first = write_study(folder, "first", device="slow", count=20)
    second = write_study(
        folder, "second", device="fast", count=20, seed=1, latency=lambda widths: 1e-7 * (1 + widths["conv1"] + widths["conv2"])
    )  # fmt: skip
    if visited:
        with Store.open(second, writable=True) as store:
            for trial in read(first).front:
                seen = measured_trial(trial.number, trial.genome, "full", latency=lambda widths: 1e-7 * widths["conv1"])
                at = "2026-01-01T00:00:00+00:00"
                visit = Visit(at, "first", trial.number, trial.candidate, trial.artifact, seen.measurement)
                store.add_visits([visit])
    return [read(first), read(second)]


def test_a_comparison_holds_its_document_and_how_each_study_was_made(tmp_path: Path) -> None:
    studies = two(tmp_path, visited=True)
    document = comparison_document(compare(studies))
    contents = held(comparison_page(studies, document))
    for name, value in json.loads(json.dumps(document)).items():
        assert contents[name] == value
    assert [dict(made[0]["rows"])["model"] for made in contents["made"]] == ["written slow", "written fast"]
    assert contents["provenance"] == {"first": ["simulated"], "second": ["simulated"]}
    assert contents["figures"]["fronts"]["data"]
    assert contents["figures"]["agreement"]["0-1"]["data"]


def test_a_comparison_says_what_survives_or_why_that_is_not_known(tmp_path: Path) -> None:
    studies = two(tmp_path)
    document = comparison_document(compare(studies))
    unknown = {**document, "survival": {"first": {"second": None}, "second": {"first": None}}}
    unknown["survival_reason"] = {"first": {"second": "second has measured none"}, "second": {"first": "as well"}}
    said = comparison_contents(studies, unknown)["headline"]
    assert said == "No front can be judged on another device: second has measured none."
    counts = {"front": 9, "judged": 8, "survive": 2, "undecided": 1, "beaten": 6, "barred": 0}
    known = {**document, "survival": {"first": {"second": 0.25}, "second": {"first": 1.0}}}
    known["survival_counts"] = {"first": {"second": counts}, "second": {"first": {**counts, "survive": 8}}}
    said = comparison_contents(studies, known)["headline"]
    ways = [
        "Of first's front, 2 of the 8 networks that second has measured, of 9 in all, survive on second.",
        "Of second's front, 8 of the 8 networks that first has measured, of 9 in all, survive on first.",
    ]
    assert said == " ".join(ways)
