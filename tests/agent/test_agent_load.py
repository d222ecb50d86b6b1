"""How busy the cores were: what others took is told from what this process took, where the kernel's ticks allow it."""

from resource import RUSAGE_SELF
from types import SimpleNamespace

import pytest
from fake_machine import write

from joulefront_agent import load
from joulefront_agent.load import Load


class Machine:
    """A /proc/stat in ticks, this process's own times, and a clock."""

    def __init__(self, root, monkeypatch):
        self.root, self.now_s = root, 100.0
        self.user, self.idle = 1000, 50_000
        self.own_s, self.children_s = 5.0, 1.0
        monkeypatch.setattr(load, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(load, "getrusage", self.used)
        self.tell()

    def used(self, who):
        return SimpleNamespace(ru_utime=self.own_s if who == RUSAGE_SELF else self.children_s, ru_stime=0.5)

    def tell(self):
        write(self.root, {"proc/stat": f"cpu  {self.user} 0 0 {self.idle} 0 0 0 0 0 0\ncpu0 1\ncpu1 1"})

    def spend(self, seconds, *, own, others, children=0.0):
        """So many s go by, in which so many cores were busy."""
        self.now_s += seconds
        self.own_s += own * seconds
        self.children_s += children * seconds
        self.user += round(100 * (own + others + children) * seconds)
        self.tell()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


def test_others_are_told_from_this_process_and_its_children(machine):
    since = Load(machine.root)
    machine.spend(2.0, own=1.0, children=0.25, others=0.5)
    assert since.busy_cores() == pytest.approx(1.75)
    assert since.own_cores() == pytest.approx(1.25)
    assert since.others_cores() == pytest.approx(0.5)


def test_what_went_before_does_not_count(machine):
    machine.spend(10.0, own=0.0, others=2.0)
    since = Load(machine.root)
    machine.spend(1.0, own=1.0, others=0.0)
    assert since.others_cores() == pytest.approx(0.0)


@pytest.mark.parametrize(("seconds", "told"), [(0.1, False), (0.29, False), (0.31, True), (10.0, True)])
def test_a_time_too_short_for_the_kernels_ticks_tells_nothing_of_others(machine, seconds, told):
    since = Load(machine.root)
    machine.spend(seconds, own=1.0, others=0.5)
    assert (since.others_cores() is not None) == told
    assert since.busy_cores() is not None


def test_ticks_that_are_counted_late_are_no_others_at_all(machine):
    since = Load(machine.root)
    machine.spend(1.0, own=1.0, others=-0.02)
    assert since.others_cores() == 0.0


@pytest.mark.parametrize("at", ["begin", "end"])
def test_a_kernel_that_does_not_say_leaves_it_open(machine, at):
    stat = machine.root / "proc/stat"
    if at == "begin":
        stat.unlink()
    since = Load(machine.root)
    machine.spend(1.0, own=1.0, others=0.0)
    if at == "end":
        stat.write_text("cpu")
    assert (since.busy_cores(), since.others_cores()) == (None, None)
    assert since.own_cores() == pytest.approx(1.0)


def test_no_time_at_all_is_no_division_by_zero(machine):
    since = Load(machine.root)
    assert (since.busy_cores(), since.own_cores(), since.others_cores()) == (0.0, 0.0, None)
