"""Energy by the protocol: windows in every repeat, idle baselines around them, and when there are enough."""

from dataclasses import replace

import pytest
from scripted import ScriptedTransport, ran
from test_bench import GOOD, JOB, WITH_SENSOR

from joulefront.errors import AgentDied, BenchError, MeterError
from joulefront_agent import wire
from joulefront_agent.wire_energy import Reading, Watched, Window

IDLE_W, BUSY_W = 2.0, 5.0
MET = {**WITH_SENSOR, "boot": "boot 1"}


class Machine:
    """A device with a meter and a clock that goes on by what it does; each window's power is BUSY_W times its ``factor``."""

    def __init__(self, factors=(), idle=(), period_s=1e-3, latencies=(), happens=lambda op, number: None):
        self.factors, self.idle, self.latencies = iter(factors), iter(idle), iter(latencies)
        self.period_s, self.happens = period_s, happens
        self.now_s, self.done, self.others = 100.0, [], 0.0
        self.transport = ScriptedTransport(
            hello=lambda params: MET, run=self.run, watch=self.watch, clock=lambda params: {"raw_s": self.now_s}
        )

    def _reading(self, params, least_s, limit_s, watts):
        window_s = min(max(least_s, params["periods"] * self.period_s), limit_s)
        begin_s, self.now_s = self.now_s, self.now_s + window_s
        readings = tuple(
            Reading(name, "package-0", watts * window_s, window_s, 1e-6, self.period_s, None, 0.0)
            for name in params["meters"]
        )
        return Window(begin_s, self.now_s, 0, 0.0, 0.0, readings)

    def _fate(self, op):
        self.done.append(op)
        return self.happens(op, self.done.count(op))

    def run(self, params):
        if kind := self._fate("window" if params["energy_s"] else "run"):
            raise wire.Failure(kind, "told to")
        self.now_s += 1.0
        latency_s = next(self.latencies, 1e-3)
        window = None
        if params["energy_s"]:
            watts = BUSY_W * next(self.factors, 1.0)
            window = self._reading(params, params["energy_s"], params["energy_limit_s"], watts)
            window = replace(window, inferences=round((window.end_s - window.begin_s) / 1e-3))
        took_s = 1.0 + (window.end_s - window.begin_s if window else 0.0)
        return ran(latency_s, outputs=GOOD if params["outputs"] else (), window=window, took_s=took_s).to_wire()

    def watch(self, params):
        if kind := self._fate("idle" if params["meters"] else "rest"):
            raise wire.Failure(kind, "told to")
        window = self._reading(params, params["least_s"], params["most_s"], next(self.idle, IDLE_W))
        return Watched(replace(window, busy_cores=self.others), {}, {}).to_wire()


@pytest.fixture
def job(tmp_path):
    return replace(JOB, library=tmp_path / "x.so")


def test_at_full_grade_every_repeat_has_a_window_between_idle_baselines(open_bench, job):
    machine = Machine()
    with open_bench(machine) as bench:
        found = bench.measure(job, "full")
    # The last round begins 44 s after the first baseline, which is fresh then.
    assert machine.done == ["idle", *["window"] * 5, "idle"]
    assert [window.inferences for window in found.energy.windows] == [10_000] * 5
    assert [(window.inferences, window.window_s) for window in found.energy.baselines] == [(0, 5.0)] * 2
    assert found.energy_j.value == pytest.approx(BUSY_W * 1e-3)
    assert found.energy.net_j.value == pytest.approx((BUSY_W - IDLE_W) * 1e-3)
    assert found.energy.idle_w.value == pytest.approx(IDLE_W)
    assert (found.energy_provenance, found.energy_reason) == ("measured", None)
    assert found.warnings == ()


def test_screening_has_one_short_window_and_no_baseline(open_bench, job):
    machine = Machine()
    with open_bench(machine) as bench:
        found = bench.measure(job, "screening")
    assert machine.done == ["run", "run", "window"]
    assert [window.window_s for window in found.energy.windows] == [2.0]
    assert (found.energy.baselines, found.energy.net_j) == ((), None)
    assert found.energy.net_reason


def test_a_slow_meter_has_longer_windows_up_to_a_limit(open_bench, job):
    for period_s, window_s in ((0.2, 20.0), (2.0, 60.0)):
        with open_bench(Machine(period_s=period_s)) as bench:
            found = bench.measure(job, "full")
        assert {window.window_s for window in found.energy.windows} == {window_s}
        assert {window.window_s for window in found.energy.baselines} == {window_s / 2}


def test_windows_go_on_until_the_joules_are_known_well_enough(open_bench, job):
    scattered = [1.0, 1.06, 0.95, 1.05, 0.94, 1.02, 0.99, 1.0]
    machine = Machine(scattered)
    with open_bench(machine) as bench:
        found = bench.measure(job, "full")
    assert len(found.energy.windows) > 5
    assert (found.energy_j.high - found.energy_j.low) / 2 <= 0.05 * found.energy_j.value
    assert not any("joules' interval" in warning for warning in found.warnings)
    with open_bench(Machine(scattered)) as bench:
        assert len(bench.measure(job, "screening").energy.windows) == 1


def test_when_the_time_for_windows_is_up_a_warning_says_how_wide_the_interval_is(open_bench, job):
    machine = Machine([1.0, 1.5] * 20)
    with open_bench(machine, energy_time_s=75.0) as bench:
        found = bench.measure(job, "full")
    assert len(found.energy.windows) == 7  # of 10 s each
    (said,) = [warning for warning in found.warnings if "joules" in warning]
    assert "after 7 energy windows the joules' interval is ± " in said
    assert "not ± 5.00%: the time of 75 s was up" in said


def test_windows_that_would_not_help_are_not_made(open_bench, job):
    """Of a meter whose edges alone are wider than what was asked for: 1.6 % of a window of 60 s, at 0.5 Hz."""
    machine = Machine([1.0, 1.06, 0.95, 1.05, 0.94, 1.02, 0.99, 1.0], period_s=2.0)
    with open_bench(machine, energy_interval=0.01) as bench:
        found = bench.measure(job, "full")
    assert len(found.energy.windows) == 5
    (said,) = [warning for warning in found.warnings if "not ± 1.00%" in warning]
    assert "the meter is too slow or too coarse for it, and more windows would not help" in said


def test_a_latency_that_is_not_known_well_enough_takes_no_more_windows(open_bench, job):
    machine = Machine(latencies=[1.05e-3, 0.95e-3, 1.03e-3, 0.97e-3] + [1e-3] * 40)
    with open_bench(machine, full_time_s=1000.0) as bench:
        found = bench.measure(job, "full")
    assert len(found.energy.windows) == 5
    assert len(found.repeats_s) > 5
    assert machine.done.count("run") == len(found.repeats_s) - 5


def test_the_time_of_windows_is_none_of_the_latencys(open_bench, job):
    machine = Machine(latencies=[1e-3, 2e-3] * 20)
    with open_bench(machine, full_time_s=8.0) as bench:
        found = bench.measure(job, "full")
    assert len(found.repeats_s) == 8  # of 1 s each, but for their windows
    assert "after 8 repeats the latency's interval" in found.warnings[0]


def test_a_baseline_is_the_next_measurements_as_well_while_it_is_fresh(open_bench, job):
    machine = Machine()
    with open_bench(machine) as bench:
        first = bench.measure(job, "full")
        machine.done.clear()
        second = bench.measure(job, "full")
        assert machine.done == [*["window"] * 5, "idle"]
        assert second.energy.baselines[0] == first.energy.baselines[-1]
        machine.done.clear()
        machine.now_s += 61.0
        bench.measure(job, "full")
        assert machine.done[0] == "idle"


def test_between_long_rounds_there_are_baselines_too(open_bench, job):
    machine = Machine([1 + number / 1e6 for number in range(30)])  # no two networks take the very same power
    others = [replace(job, label=name, sha256=name * 64) for name in "bcdef"]
    with open_bench(machine) as bench:
        outcomes = bench.measure_all([job, *others], "full")
    assert machine.done == [*["idle", *["window"] * 6] * 5, "idle"]
    assert {len(one.energy.baselines) for one in outcomes} == {6}


def test_an_idle_power_that_drifts_is_a_doubt(open_bench, job):
    with open_bench(Machine(idle=[2.0, 2.05])) as bench:
        assert bench.measure(job, "full").warnings == ()
    with open_bench(Machine(idle=[2.0, 2.1])) as bench:
        (warning,) = bench.measure(job, "full").warnings
    assert "between 2 and 2.1 W" in warning
    assert "net joules" in warning


def test_other_work_in_a_baseline_is_a_doubt(open_bench, job):
    machine = Machine()
    machine.others = 0.3
    with open_bench(machine) as bench:
        (warning,) = bench.measure(job, "full").warnings
    assert warning == "other work took up to 0.3 cores while the idle device was measured"


def test_a_meter_that_fails_for_a_moment_costs_a_repeat(open_bench, job):
    machine = Machine(happens=lambda op, number: "MeterError" if (op, number) in {("window", 2), ("idle", 2)} else None)
    with open_bench(machine) as bench:
        found = bench.measure(job, "full")
    assert len(found.energy.windows) == 5
    assert found.set_aside == ("repeat 2: the agent reports MeterError: told to",)
    assert machine.done == ["idle", "window", "window", "rest", *["window"] * 4, "idle", "idle"]


@pytest.mark.parametrize("lost", ["window", "idle"])
def test_a_meter_that_is_gone_is_an_error_and_not_a_gap(open_bench, job, lost):
    machine = Machine(happens=lambda op, number: "MeterError" if op == lost else None)
    with open_bench(machine) as bench, pytest.raises(MeterError, match="told to"):
        bench.measure(job, "full")
    assert machine.done.count(lost) == (6 if lost == "window" else 3)


def test_a_baseline_whose_child_fails_is_the_devices_fault(open_bench, job):
    machine = Machine(happens=lambda op, number: "Crashed" if op == "idle" else None)
    with open_bench(machine) as bench, pytest.raises(BenchError, match="the agent reports Crashed") as caught:
        bench.measure(job, "full")
    assert not isinstance(caught.value, AgentDied | MeterError)
