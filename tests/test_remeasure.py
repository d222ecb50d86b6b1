"""A front measured on the devices of other studies: on the simulated bench, killed in the middle, and for real."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from joulefront import cli
from joulefront.comparison import compare
from joulefront.config import StudyConfig
from joulefront.errors import BenchError, CandidateError, ConfigError, Crashed, StoreError, TransportError
from joulefront.records import Grade, Job, Measurement, Target
from joulefront.remeasure import remeasure
from joulefront.report import comparison_document
from joulefront.results import read
from joulefront.store import Store
from joulefront.study import BenchOf, run
from joulefront.trials import BLOCK
from joulefront.workers import Workers
from recomputed import Study
from simulated import TARGET, Bench, Silent, study_text
from test_comparison import agrees

OTHER = replace(TARGET, cpu="nehalem", vector_floats=4)


class Device(Bench):
    """One of two simulated devices: on the other one each network takes from 0.5 to 1.5 times as long, by its bytes."""

    def __init__(self, other: bool = False, **arguments: object) -> None:
        super().__init__(**arguments)  # type: ignore[arg-type]
        self._other = other
        self.blocks: list[list[str]] = []
        self.facts = {"model": "other" if other else "simulated", "boot": 1}
        self.target: Target = OTHER if other else TARGET

    def measure_all(
        self, jobs: Sequence[Job], grade: Grade, tell: Callable[[str], None]
    ) -> list[Measurement | CandidateError]:
        """See study.Bench."""
        self.blocks.append([job.label for job in jobs])
        return super().measure_all(jobs, grade, tell)

    def measure(self, job: Job, grade: Grade) -> Measurement:
        """See study.Bench."""
        measured = super().measure(job, grade)
        if not self._other:
            return measured
        factor = 0.5 + int(job.sha256[:4], 16) / 0xFFFF
        found = measured.latency_s
        shown = replace(found, value=found.value * factor, low=found.low * factor, high=found.high * factor)
        return replace(measured, latency_s=shown)


def devices(*benches: Bench) -> BenchOf:
    """What remeasure opens: by the device's name, that of ``benches`` in order of ``local`` and ``other``."""
    known = dict(zip(("local", "other"), benches, strict=False))

    def opened(config: StudyConfig, folder: Path) -> AbstractContextManager[Bench]:
        return known[config.device]

    return opened


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, one_worker: type[Workers]) -> tuple[Path, Path]:
    """Two studies of one network, on two devices, which share no more than their searches happened to."""
    folder = tmp_path_factory.mktemp("searched")
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("joulefront.study.Workers", one_worker)
        for name, device, other in (("here", "local", False), ("there", "other", True)):
            file = folder / f"{name}.toml"
            search = f'kind = "random"\nseed = {int(other)}'
            file.write_text(
                study_text(name, search=search, evaluations=8, compiler='tells = "scan"', more=f'device = "{device}"')
            )
            made.append(run(file, folder / "results", Silent(), lambda config, at, other=other: Device(other)))  # type: ignore[misc]
    return made[0], made[1]


@pytest.fixture
def two(searched: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A copy of both, for one test."""
    copies = [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in searched]
    return copies[0], copies[1]


def unknown(home: Path, host: Path) -> int:
    """How many networks of one's front the other's device has not measured."""
    return sum(widths not in Study(host).known for widths in Study(home).front)


def blocks(count: int) -> list[int]:
    """How many visitors each block has."""
    return [min(BLOCK, count - start) for start in range(0, count, BLOCK)]


def test_both_fronts_are_measured_on_the_other_device(two: tuple[Path, Path]) -> None:
    here, there = two
    guests = unknown(there, here), unknown(here, there)
    assert min(guests) > 0
    jobs: list[Job] = []
    benches, listener = [Device(other, on_measure=lambda job, _: jobs.append(job)) for other in (False, True)], Silent()
    remeasure(two, listener, devices(*benches))
    # What runs TVM's own loops is a function of the library for that device, not of the one at home.
    told = [(one.function.name, one.calls) for job in jobs for one in job.fallbacks]
    assert told == [(f"scan_{bench.target.cpu}", 1) for bench in benches for _ in bench.measured]
    for bench, folder, other, count in zip(benches, two, (there, here), guests, strict=True):
        # The visitors, none twice, the study's own network in each of their blocks, all of them at full grade.
        assert {grade for _, grade in bench.measured} == {"full"}
        own = f"trial {read(folder).unpruned.number} of {folder.name}"  # type: ignore[union-attr]
        assert [len(block) for block in bench.blocks] == [size + 1 for size in blocks(count)]
        assert all(block.count(own) == 1 for block in bench.blocks)
        visitors = [label for label, _ in bench.measured if label != own]
        assert len(visitors) == len(set(visitors)) == count
        assert all(label.endswith(f" of {other.name}") for label in visitors)
        assert bench.reference is not None
        assert bench.reference.label == own
        visits = read(folder).visits
        assert sorted(visit.home for visit in visits) == sorted(
            [folder.name] * len(bench.blocks) + [other.name] * count
        )
        assert all(visit.measurement and visit.artifact for visit in visits)
        assert {visit.artifact.target for visit in visits if visit.artifact} == {bench.target}
        assert len({visit.artifact.sha256 for visit in visits if visit.artifact}) == count + 1
        assert len({visit.session for visit in visits}) == len(bench.blocks)
    assert listener.steps == sum(guests) + sum(len(bench.blocks) for bench in benches)
    made = comparison_document.document(compare([read(folder) for folder in two]))
    agrees(made, two)
    for one, other in (("here", "there"), ("there", "here")):
        counts = made["survival_counts"][one][other]
        assert counts["judged"] == counts["front"]
        assert {drift["apart"] for drift in made["drift"][one]} == {False}


def test_what_is_on_two_fronts_visits_once(two: tuple[Path, Path]) -> None:
    here, there = two
    twin = Path(shutil.copytree(here, here.parent / "twin"))
    file = twin / "study.toml"
    file.write_text(file.read_text().replace('name = "here"', 'name = "twin"'))
    guests, bench = unknown(here, there), Device(True)
    remeasure((here, there, twin), Silent(), devices(Device(), bench))
    assert len(bench.measured) == guests + len(blocks(guests))


def test_nothing_is_measured_twice(two: tuple[Path, Path]) -> None:
    remeasure(two, Silent(), devices(Device(), Device(True)))
    before = [read(folder).visits for folder in two]

    def never(config: StudyConfig, folder: Path) -> AbstractContextManager[Bench]:
        raise AssertionError("opened")

    remeasure(two, Silent(), never)
    remeasure(two[::-1], Silent(), never)
    assert [read(folder).visits for folder in two] == before


def test_an_interruption_costs_the_block_under_way_and_nothing_else(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joulefront.remeasure.BLOCK", 2)
    here, there = two
    guests = unknown(there, here)
    assert guests > 2

    def cut_off(job: Job, grade: Grade) -> None:
        if len(broken.measured) == 3 + 1:
            raise TransportError("the cable was pulled; run the same command again")

    broken = Device(on_measure=cut_off)
    with pytest.raises(BenchError, match="cable"):
        remeasure(two, Silent(), devices(broken, Device(True)))
    assert len(read(here).visits) == 3
    rest = Device()
    remeasure(two, Silent(), devices(rest, Device(True)))
    begun, ended = ({label for block in bench.blocks for label in block[1:]} for bench in (broken, rest))
    assert len(ended) == guests - 2
    assert len(begun & ended) == len(broken.blocks[1]) - 1
    assert unknown(there, here) == unknown(here, there) == 0


def test_a_kill_loses_the_block_under_way_and_nothing_else(two: tuple[Path, Path]) -> None:
    guests = unknown(two[1], two[0])
    script, log = Path(__file__).with_name("remeasure_simulated.py"), two[0].parent / "log"
    first = blocks(guests)[0] + 1
    command = [sys.executable, str(script), *map(str, two), str(log), str(first)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -9, done.stderr
    assert len(log.read_text().splitlines()) == first
    assert read(two[0]).visits == ()
    rest = Device()
    remeasure(two, Silent(), devices(rest, Device(True)))
    visits = [visit for visit in read(two[0]).visits if visit.home != "here"]
    assert len(visits) == len({visit.number for visit in visits}) == guests


def test_a_network_that_fails_there_is_recorded_and_not_tried_again(two: tuple[Path, Path]) -> None:
    def crash(job: Job, grade: Grade) -> None:
        if job.label.endswith(" of here"):
            raise Crashed(f"{job.label}: signal 11")

    remeasure(two, Silent(), devices(Device(), Device(True, on_measure=crash)))
    failed = [visit for visit in read(two[1]).visits if visit.failure]
    assert len(failed) == len([visit for visit in read(two[1]).visits if visit.home == "here"]) > 0
    assert {visit.failure.kind for visit in failed if visit.failure} == {"Crashed"}
    again = Device(), Device(True)
    remeasure(two, Silent(), devices(*again))
    assert [bench.measured for bench in again] == [[], []]
    made = comparison_document.document(compare([read(folder) for folder in two]))
    assert made["survival_counts"]["here"]["there"]["barred"] == len(failed)


def test_whose_fault_a_failure_is_is_known_from_the_first_network_on(two: tuple[Path, Path]) -> None:
    references = []

    def note(job: Job, grade: Grade) -> None:
        references.append(bench.reference.label if bench.reference else None)

    bench = Device(on_measure=note)
    remeasure(two, Silent(), devices(bench, Device(True)))
    unpruned = read(two[0]).unpruned
    assert unpruned
    assert set(references) == {f"trial {unpruned.number} of here"}


def test_a_device_on_which_its_own_network_fails_is_to_blame(two: tuple[Path, Path]) -> None:
    def crash(job: Job, grade: Grade) -> None:
        raise Crashed(f"{job.label}: signal 11")

    with pytest.raises(BenchError, match=r"trial \d+ of here: signal 11: on local, where it ran in its study"):
        remeasure(two, Silent(), devices(Device(on_measure=crash), Device(True)))
    assert read(two[0]).visits == ()


def changed(bench: Device, **attributes: object) -> Device:
    for name, value in attributes.items():
        setattr(bench, name, value)
    return bench


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"facts": {"model": "another"}}, "begun with another device: model was 'simulated', is 'another'"),
        ({"target": replace(TARGET, threads=2)}, "begun with another target: threads was 1, is 2"),
    ],
)
def test_another_device_than_was_searched_is_refused(
    two: tuple[Path, Path], change: dict[str, object], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        remeasure(two, Silent(), devices(changed(Device(), **change), Device(True)))
    assert read(two[0]).visits == ()


def test_another_boot_is_no_other_device(two: tuple[Path, Path]) -> None:
    remeasure(two, Silent(), devices(changed(Device(), facts={"model": "simulated", "boot": 2}), Device(True)))
    assert read(two[0]).visits


def test_another_compiler_than_was_searched_with_is_refused(two: tuple[Path, Path]) -> None:
    file = two[0] / "study.toml"
    file.write_text(file.read_text().replace(':Compiler"', ':Compiler"\ntakes_s = 0.001'))
    with pytest.raises(ConfigError, match="begun with another compiler"):
        remeasure(two, Silent(), devices(Device(), Device(True)))


def test_another_model_than_was_searched_is_refused(two: tuple[Path, Path]) -> None:
    file = two[1] / "study.toml"
    file.write_text(file.read_text().replace('kind = "digits"', 'kind = "models.py:task"'))
    moved = two[0].parent / "moved"
    with pytest.raises(ConfigError, match=r"models\.py: no such file; if the files of .*there were moved.*--from"):
        remeasure(two, Silent(), devices(Device(), Device(True)))
    moved.mkdir()
    (moved / "models.py").write_text(
        "import torch\nfrom joulefront.tasks import Task\n"
        "def task():\n    return Task(torch.nn.Sequential(torch.nn.Linear(4, 2)), example=torch.rand(1, 4))\n"
    )
    with pytest.raises(ConfigError, match=r"is another model than .*there searched"):
        remeasure(two, Silent(), devices(Device(), Device(True)), moved=moved)


def test_weights_that_are_gone_are_said(two: tuple[Path, Path]) -> None:
    for path in (two[1] / "artifacts").glob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(StoreError, match="is not there as the study wrote it"):
        remeasure(two, Silent(), devices(Device(), Device(True)))


def test_a_study_that_is_being_searched_is_left_alone(two: tuple[Path, Path]) -> None:
    with Store.open(two[0], writable=True), pytest.raises(StoreError, match="another process is searching there"):
        remeasure(two, Silent(), devices(Device(), Device(True)))


def test_a_study_that_is_not_settled_is_refused(two: tuple[Path, Path]) -> None:
    with sqlite3.connect(two[1] / "study.sqlite") as database:
        database.execute("DELETE FROM decisions WHERE name = 'settled'")
    database.close()
    with pytest.raises(ConfigError, match="there has no settled front yet"):
        remeasure(two, Silent(), devices(Device(), Device(True)))


# For real: this machine, and this machine with code for processors without AVX.

STUDY = """
name = "{name}"
device = "{name}.toml"
[task]
kind = "digits"
[recover]
screen_epochs = 0.5
full_epochs = 0.5
[prepare]
workers = 1
[measure]
interval = 0.5
time_s = 0.1
full_time_s = 0.1
repeats = 2
full_repeats = 2
full_interval = 0.5
[search]
kind = "random"
evaluations = 3
seed = {seed}
"""
CALM = "[settle]\ntime_s = 0.0\n"  # this machine, as busy as it is: nothing here is about what is measured
SSE = '[target]\ntriple = "x86_64-linux-gnu"\ncpu = "nehalem"\nvector_floats = 4\nvector_registers = 16\n'


def test_for_real_by_the_command_line(
    shared_workers: type[Workers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def joulefront(*arguments: str) -> dict:  # type: ignore[type-arg]
        monkeypatch.setattr(sys, "argv", ["joulefront", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        assert not ended.value.code, shown.err
        return json.loads(shown.out)  # type: ignore[no-any-return]

    monkeypatch.chdir(tmp_path)
    for seed, (name, more) in enumerate({"native": "", "sse": SSE}.items()):
        Path(f"{name}.toml").write_text(f'name = "{name}"\n{CALM}{more}')
        Path(f"study-{name}.toml").write_text(STUDY.format(name=name, seed=seed))
        joulefront("search", f"study-{name}.toml")
    studies = [tmp_path / "results" / name for name in ("native", "sse")]
    guests = {
        host.name: sum(widths not in Study(host).known for widths in Study(home).front)
        for home, host in (studies, studies[::-1])
    }
    made = joulefront("compare", *map(str, studies), "--remeasure")
    agrees(made, studies)
    for one, other in (("native", "sse"), ("sse", "native")):
        assert made["survival_counts"][one][other]["judged"] == made["survival_counts"][one][other]["front"] > 0
    # A visitor's library is of the host's code: none of the one is among the other's, though the widths are the same.
    visits = {folder.name: read(folder).visits for folder in studies}
    assert {visit.artifact.target.cpu for visit in visits["sse"] if visit.artifact} <= {"nehalem"}
    for name, count in guests.items():
        assert len(visits[name]) == count + len(blocks(count))  # the device's own network is in each block
    for point in made["points"]:
        for measured in point["measured"].values():
            assert measured["provenance"]["latency_s"] == "measured"
            assert measured["metrics"]["latency_s"] > 0
