"""What a study will take, reckoned from one network."""

from pathlib import Path
from typing import Any

import pytest

from joulefront.estimate import estimate
from simulated import Bench, Silent, bench_of, study_text

pytestmark = pytest.mark.usefixtures("shared_workers")


def seconds(folder: Path, more: str, energy: bool = False) -> dict[str, Any]:
    file = folder / "study.toml"
    file.write_text(study_text(evaluations=30, more=more))
    found: dict[str, Any] = estimate(file, Silent(), bench_of(Bench(energy=energy)))["seconds"]
    return found


def test_energy_adds_its_windows_and_baselines_to_the_front(tmp_path: Path) -> None:
    without, with_energy = (
        seconds(tmp_path, "---[measure]\nfull_time_s = 1000.0\n", energy) for energy in (False, True)
    )
    networks = 10 + 1 + 1  # the front, the unpruned network, and that again beside the second block
    windows_s, baselines_s = 5 * 10.0, 6 * 5.0
    added_s = with_energy["settling"] - without["settling"]
    assert added_s == pytest.approx(networks * (windows_s + baselines_s))
    assert without["settling"] > networks * 1000.0


def test_the_canary_is_reckoned_with(tmp_path: Path) -> None:
    every, never = (seconds(tmp_path, f"---[measure]\ncanary = {count}\n") for count in (1, 0))
    for found, networks in ((every, 30 + 29), (never, 30)):
        assert found["search"] == pytest.approx(
            30 * found["making_a_network"] + networks * found["measuring_a_network"]
        )
