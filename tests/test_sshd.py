"""The main job over a real sshd on this machine, as an ordinary user: what it finds is what it finds without."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from joulefront.config import MeasureConfig
from joulefront.store import Store
from joulefront.study import open_bench, run
from joulefront_devices import Device
from real_sshd import Sshd, sshd
from simulated import Silent

pytestmark = [pytest.mark.sshd, pytest.mark.usefixtures("shared_machine")]

STUDY = """
name = "loopback"
device = "here.toml"
[task]
kind = "digits"
[recover]
screen_epochs = 0.5
full_epochs = 0.5
[measure]
interval = 0.5
time_s = 0.5
full_interval = 0.5
full_time_s = 0.5
[prepare]
workers = 1
[search]
evaluations = 6
population = 4
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with sshd() as server:
        yield server


def device(server: Sshd) -> str:
    arguments = "\n".join(f"{name} = {value!r}" for name, value in server.arguments.items())
    return f'name = "here"\n[transport]\nkind = "ssh"\npython = "/usr/bin/python3"\n{arguments}\n'


def searched(folder: Path, text: str) -> Store:
    folder.mkdir()
    (folder / "here.toml").write_text(text)
    (folder / "study.toml").write_text(STUDY)
    return Store.open(run(folder / "study.toml", folder / "results", Silent(), open_bench))


def test_a_search_over_ssh_behaves_as_the_local_one(server: Sshd, tmp_path: Path) -> None:
    with (
        searched(tmp_path / "ssh", device(server)) as far,
        searched(tmp_path / "local", 'name = "here"\n') as near,
    ):
        batches = [store.trials("screen")[:4] for store in (far, near)]
        assert [trial.genome for trial in batches[0]] == [trial.genome for trial in batches[1]]
        for one, other in zip(*batches, strict=True):
            assert one.failure is None
            assert one.candidate == other.candidate
            assert one.artifact == other.artifact
            assert one.measurement.provenance == "measured"
        assert far.fact("target") == near.fact("target")
        assert far.decided("settled")


def test_it_runs_as_the_user_and_leaves_only_what_it_installs(server: Sshd) -> None:
    from joulefront.bench import Bench

    here = Device.model_validate(
        {"name": "far", "transport": {"kind": "ssh", "python": "/usr/bin/python3", **server.arguments}}
    )
    with Bench(here, MeasureConfig(), 1) as bench:
        assert bench.shares_host
        work = server.home / ".cache/joulefront"
        assert work.stat().st_mode & 0o777 == 0o700
        assert work.owner() == server.user
        assert len(list(work.glob("files-*"))) == 1
    assert not list(work.glob("files-*"))
    if os.getuid() == 0:
        assert server.user != "root"
