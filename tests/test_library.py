"""Joulefront from Python: what one can import, and the example of the docs, run as it stands there."""

import contextlib
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import joulefront
from joulefront.library import _workers_without_the_script as workers_without_the_script
from joulefront.results import read
from simulated import study_text
from written import latency_s, write_study

EXAMPLE = Path(__file__).parent.parent / "docs" / "notebook.py"


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, joulefront\n"
        "heavy = {'torch', 'tvm', 'numpy', 'pandas', 'plotly', 'sqlalchemy', 'pydantic', 'rich'}\n"
        "print(sorted(set(sys.modules) & heavy))\n"
        "joulefront.open\n"
        "print(sorted(set(sys.modules) & {'torch', 'tvm', 'tvm_ffi', 'pandas', 'plotly', 'matplotlib'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_what_is_public_is_there_documented_and_no_module() -> None:
    """A name that is a room's too would be the room's from its first import on."""
    for name in joulefront.__all__:
        public = getattr(joulefront, name)
        assert inspect.getdoc(public), name
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"joulefront.{name}")
    assert set(joulefront.__all__) <= set(dir(joulefront))
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        joulefront.serach  # noqa: B018


def test_a_study_is_opened(tmp_path: Path) -> None:
    folder = write_study(tmp_path, count=12, fails=lambda number: number == 3)
    study, results = joulefront.open(str(folder)), read(folder)
    assert (study.name, study.settled, study.knee) == ("written", True, results.knee)
    assert results.hypervolume
    assert study.hypervolume == results.hypervolume.value
    assert repr(study) == f"<Study written on board: settled, {len(results.trials)} trials>"
    front, trials = study.front(), study.trials()
    assert list(front["trial"]) == [trial.number for trial in results.front]
    assert list(front["latency_s"]) == [trial.objectives["latency_s"] for trial in results.front]
    assert len(trials) == len(results.trials)
    assert list(trials.columns) == list(front.columns)
    assert study.figure(tmp_path / "front.svg").read_text().startswith("<?xml")


def test_a_study_without_a_front_is_opened(tmp_path: Path) -> None:
    study = joulefront.open(write_study(tmp_path, count=0))
    assert (study.settled, study.knee, study.hypervolume) == (False, None, None)
    assert len(study.front()) == len(study.trials()) == 0


def test_a_study_is_plotted_and_reported(tmp_path: Path) -> None:
    study = joulefront.open(write_study(tmp_path, count=6))
    assert study.plot().data
    assert study.report() == tmp_path / "written" / "report.html"
    assert "written" in study.report(str(tmp_path / "mine.html")).read_text()


def test_a_network_is_exported_as_by_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_study(tmp_path, count=2)
    monkeypatch.setattr("joulefront.ship.ship", lambda *given, moved: {"given": given[:3], "moved": moved})
    study = joulefront.open(folder)
    assert study.export(7, "out", moved="elsewhere") == {
        "given": (folder, "7", Path("out")),
        "moved": Path("elsewhere"),
    }
    assert study.export("knee", tmp_path / "out")["moved"] is None


def test_studies_are_compared(tmp_path: Path) -> None:
    folders = [
        write_study(tmp_path, name, count=12, latency=latency)
        for name, latency in (("a", latency_s), ("b", lambda widths: 1e-6 * widths["fc1"]))
    ]
    comparison = joulefront.compare(joulefront.open(folders[0]), folders[1])
    assert comparison.document()["studies"] == ["a", "b"]
    assert repr(comparison).startswith("<Comparison of a, b: ")
    assert comparison.figure(tmp_path / "both.png").stat().st_size > 10_000


def test_mistakes_are_those_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(joulefront.ConfigError, match="no study there"):
        joulefront.open(tmp_path)
    before = dict(vars(sys.modules["__main__"]))
    with pytest.raises(joulefront.ConfigError, match=r"absent\.toml: no such file"):
        joulefront.run(tmp_path / "absent.toml")
    assert dict(vars(sys.modules["__main__"])) == before


def test_the_script_is_its_own_again_when_the_last_of_several_runs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads may run one study each, on a device each."""
    main, spec = sys.modules["__main__"], object()
    monkeypatch.setattr(main, "__file__", "script.py", raising=False)
    monkeypatch.setattr(main, "__spec__", spec)
    first, second = workers_without_the_script(), workers_without_the_script()
    with contextlib.ExitStack() as last:
        with first:
            last.enter_context(second)
        assert (hasattr(main, "__file__"), main.__spec__) == (False, None)
    assert (main.__file__, main.__spec__) == ("script.py", spec)


def test_the_example_runs_as_a_script_that_workers_do_not_run_again(tmp_path: Path) -> None:
    """It has no ``if __name__ == "__main__"``, since nobody writes that in a notebook."""
    example = EXAMPLE.read_text()
    assert len(example.splitlines()) <= 20
    (tmp_path / "study.toml").write_text(study_text("small", evaluations=4))
    before = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "open('ran', 'a').write('once\\n')\n"
        "import joulefront.study, simulated\n"
        "joulefront.study.open_bench = simulated.bench_of(simulated.Bench())\n"
    )
    (tmp_path / "example.py").write_text(before + example)
    done = subprocess.run([sys.executable, "example.py"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").read_text() == "once\n"
    assert "simulated" in done.stdout
    assert re.search(r"hypervolume 0\.\d{3}", done.stdout)
    assert re.search(r"takes \d+% of the unpruned network's time", done.stdout)
    for written in ("front.html", "front.svg", "report.html"):
        assert (tmp_path / written).stat().st_size > 10_000
    assert "Traceback" not in done.stderr
