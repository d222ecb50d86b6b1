"""Which cores are picked, of those that are allowed."""

import pytest
from fake_machine import write

from joulefront_agent import cores
from joulefront_agent.wire import Failure


def machine(root, frequencies_khz):
    return write(
        root,
        {f"sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq": khz for core, khz in frequencies_khz.items()},
    )


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {1, 2, 4, 5})


def test_the_fastest_come_first_and_forbidden_ones_never(tmp_path):
    root = machine(tmp_path, {0: 3_000_000, 1: 1_800_000, 2: 1_800_000, 4: 2_400_000, 5: 2_200_000})
    assert [cores.fastest(root, count) for count in (1, 2, 3, 4)] == [[4], [4, 5], [4, 5, 1], [4, 5, 1, 2]]


def test_what_a_core_is_capable_of_goes_before_its_frequency(tmp_path):
    root = machine(tmp_path, {1: 1_908_000, 2: 1_908_000, 4: 1_800_000, 5: 1_800_000})
    write(root, {f"sys/devices/system/cpu/cpu{core}/cpu_capacity": 1024 if core > 2 else 592 for core in (1, 2, 4, 5)})
    assert cores.fastest(root, 3) == [4, 5, 1]


def test_where_nothing_is_told_their_numbers_decide(tmp_path):
    assert cores.fastest(machine(tmp_path, {5: "<unknown>"}), 3) == [1, 2, 4]


def test_sensors_are_read_on_the_cores_that_are_left():
    assert cores.spare([4, 5]) == {1, 2}
    assert cores.spare([]) == {1, 2, 4, 5}
    assert cores.spare([1, 2, 4, 5]) == {1, 2, 4, 5}  # none is left


def test_more_than_are_allowed_are_refused(tmp_path):
    with pytest.raises(Failure, match="5 threads were asked for, but the agent may use 4 cores only") as caught:
        cores.fastest(tmp_path, 5)
    assert caught.value.kind == "NoThreads"
