"""Networks measured together: rounds, what is set aside in them, and what a loss or a boot costs."""

from dataclasses import replace

import pytest
from scripted import CONDITIONS, FACTS, Die, ScriptedTransport, ran, timed
from test_bench import GOOD, JOB

from joulefront.errors import BenchError, ConnectionLost, Crashed, Unsettled
from joulefront.kernel_records import Fallback, Function
from joulefront_agent import wire

NAMES = "abcde"
HOT = {**CONDITIONS, "throttles": 1}
COOL = {**CONDITIONS, "throttles": 0}


class Machine:
    """Runs networks that are called by the first letter of their hash, and does at a run what ``happens`` says.

    ``happens`` takes the number of the run and the network's name; "lost" and "boots" are losses of the connection, another
    word is a Failure's kind; None is a repeat of ``latency_s`` of that network with the ``changes`` to it.
    """

    def __init__(self, happens=lambda number, name: None, latency_s=lambda name: 1e-3, **changes):
        self.happens, self.latency_s, self.changes = happens, latency_s, changes
        self.runs, self.watched, self.boot = [], [], 1
        self.transport = ScriptedTransport(hello=self.hello, run=self.run, watch=self.watch)
        self.rest = self.transport.ops["watch"]

    def hello(self, params):
        return {**FACTS, "boot": f"boot {self.boot}"}

    def watch(self, params):
        self.watched.append(params)
        return ScriptedTransport().ops["watch"](params)

    def run(self, params):
        name = params["sha256"][0]
        self.runs.append(name)
        happens = self.happens(len(self.runs), name)
        if happens in ("lost", "boots"):
            self.boot += happens == "boots"
            raise ConnectionLost("scripted: the connection is lost")
        if isinstance(happens, str):
            raise wire.Failure(happens, "told to")
        outputs = GOOD if params["outputs"] else ()
        return ran(self.latency_s(name), **{"outputs": outputs, **self.changes, **(happens or {})}).to_wire()


@pytest.fixture
def jobs(tmp_path):
    return [replace(JOB, label=name, sha256=name * 64, library=tmp_path / "x.so") for name in NAMES]


def in_rounds(runs, size):
    return [runs[start : start + size] for start in range(0, len(runs), size)]


def test_each_round_has_each_network_once_and_in_another_order(open_bench, jobs):
    machine, heard = Machine(latency_s=lambda name: 1e-3 * (1 + NAMES.index(name))), []
    with open_bench(machine) as bench:
        outcomes = bench.measure_all(jobs, "full", heard.append)
    rounds = in_rounds(machine.runs, len(NAMES))
    assert [sorted(one) for one in rounds] == [sorted(NAMES)] * 5
    assert len({tuple(one) for one in rounds}) > 1
    assert [one.latency_s.value for one in outcomes] == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3, 5e-3])
    assert heard == [f"round {number} of 5" for number in range(1, 6)]
    assert {one.grade for one in outcomes} == {"full"}


def test_all_go_on_while_one_of_them_needs_it(open_bench, jobs):
    """So that all networks see the same moments of the device."""
    scatter = iter([1.05e-3, 0.95e-3, 1.03e-3, 0.97e-3] + [1e-3] * 30)
    machine, heard = Machine(latency_s=lambda name: next(scatter) if name == "b" else 1e-3), []
    with open_bench(machine) as bench:
        outcomes = bench.measure_all(jobs[:3], "screening", heard.append)
    (count,) = {len(one.repeats_s) for one in outcomes}
    assert count > 3
    assert [sorted(one) for one in in_rounds(machine.runs, 3)] == [["a", "b", "c"]] * count
    assert heard[3] == "round 4, since the intervals of 1 are still too wide"


def test_who_has_no_time_left_does_not_wait_for_the_others(open_bench, jobs):
    scatter = iter([1.05e-3, 0.95e-3, 1.03e-3, 0.97e-3] + [1e-3] * 30)
    machine = Machine(
        happens=lambda number, name: {"took_s": 1.2} if name == "a" else {"took_s": 0.1},
        latency_s=lambda name: next(scatter) if name == "b" else 1e-3,
    )
    with open_bench(machine) as bench:
        outcomes = bench.measure_all(jobs[:3], "screening", lambda _: None)
    assert len(outcomes[0].repeats_s) == 3
    assert len(outcomes[1].repeats_s) == len(outcomes[2].repeats_s) > 3


def test_a_network_that_fails_is_out_of_the_later_rounds(open_bench, jobs):
    machine = Machine(lambda number, name: "Crashed" if name == "c" and number > 5 else None)
    with open_bench(machine) as bench:
        bench.reference = jobs[0]
        outcomes = bench.measure_all(jobs, "full")
    assert isinstance(outcomes[2], Crashed)
    assert [len(one.repeats_s) for one in outcomes if one is not outcomes[2]] == [5] * 4
    assert machine.runs.count("c") == 1 + 2  # a good round, and twice in the next one


def test_a_round_is_made_anew_after_a_loss_and_the_earlier_ones_stay(open_bench, jobs):
    machine = Machine(lambda number, name: "lost" if number == 8 else None)
    with open_bench(machine) as bench:
        outcomes = bench.measure_all(jobs, "screening")
    assert len(machine.runs) == 5 + 3 + 5 + 5
    assert [sorted(machine.runs[start : start + 5]) for start in (0, 8, 13)] == [sorted(NAMES)] * 3
    assert [len(one.repeats_s) for one in outcomes] == [3] * 5
    assert all(one.warnings == () for one in outcomes)


def test_after_a_boot_all_rounds_are_made_anew(open_bench, jobs):
    machine = Machine(lambda number, name: "boots" if number == 8 else None)
    machine.latency_s = lambda name: 1e-3 * machine.boot
    with open_bench(machine) as bench:
        outcomes = bench.measure_all(jobs, "screening")
    assert len(machine.runs) == 8 + 15
    assert [one.latency_s.value for one in outcomes] == [2e-3] * 5


def test_the_network_that_takes_the_device_down_twice_is_blamed_and_no_other(open_bench, jobs):
    machine = Machine(lambda number, name: "boots" if name == "d" else None)
    with open_bench(machine) as bench:
        bench.reference = replace(jobs[0], label="reference", sha256="f" * 64)
        outcomes = bench.measure_all(jobs, "screening")
    assert isinstance(outcomes[3], Crashed)
    assert "d: the device booted 2 times" in str(outcomes[3])
    assert [len(one.repeats_s) for one in outcomes if one is not outcomes[3]] == [3] * 4
    assert machine.runs.count("d") == machine.runs.count("f") == 2


def test_a_throttled_repeat_is_set_aside_and_made_again_after_a_rest(open_bench, jobs):
    hot = {"before": COOL, "after": HOT, "samples_s": (2e-3,) * 5, "took_s": 7.0}
    machine = Machine(lambda number, name: hot if number == 2 else None)
    heard = []
    with open_bench(machine) as bench:
        measurement = bench.measure(jobs[0], "screening", heard.append)
    assert heard[2] == "round 2 of 3: a once more, since the processor was throttled 1 times meanwhile"
    assert measurement.repeats_s == ((1e-3,) * 5,) * 3
    assert measurement.set_aside == ("repeat 2: the processor was throttled 1 times meanwhile",)
    assert [(asked["least_s"], asked["meters"], asked["busy"]) for asked in machine.watched] == [(7.0, [], 0)]


@pytest.mark.parametrize(("grade", "repeats"), [("screening", 3), ("full", 5)])
def test_a_device_that_does_not_hold_still_gets_no_figure(open_bench, jobs, grade, repeats):
    machine = Machine(before=COOL, after=HOT)
    with open_bench(machine) as bench, pytest.raises(Unsettled, match=r"a: .* throttled .* let it cool") as caught:
        bench.measure(jobs[0], grade)
    assert len(machine.runs) == repeats + 1
    assert str(caught.value).count("throttled") == 1


@pytest.mark.parametrize("loss", [ConnectionLost("scripted: while resting"), Die()])
def test_whoever_rests_may_lose_the_connection_or_the_agent_too(open_bench, jobs, loss):
    machine = Machine(lambda number, name: {"before": COOL, "after": HOT} if number == 1 else None)
    losses, rest = [1], machine.watch

    def lost(params):
        if losses:
            losses.pop()
            raise loss
        return rest(params)

    machine.transport.ops["watch"] = lost
    with open_bench(machine) as bench:
        measurement = bench.measure(jobs[0], "screening")
    assert len(measurement.repeats_s) == 3
    assert len(measurement.set_aside) == 1


def test_a_device_that_boots_again_and_again_while_it_idles_has_a_bad_supply(open_bench, jobs):
    machine = Machine()

    def boots(params):
        machine.boot += 1
        raise ConnectionLost("scripted: the connection is lost")

    with open_bench(machine) as bench:
        machine.transport.ops["conditions"] = boots
        with pytest.raises(BenchError, match=r"the idle device: the device booted 2 times .* power supply"):
            bench.measure(jobs[0], "screening")


def timed_on(bench, job):
    return bench.time_functions(
        job.library, job.sha256, [Function("f", ())] * 2, rounds=3, slice_s=0.1, limit_s=1.0, flush_b=0
    )


@pytest.mark.parametrize("fate", ["lost", "boots"])
def test_functions_are_timed_anew_after_a_loss_or_a_boot(open_bench, jobs, fate):
    machine, calls = Machine(), []

    def time(params):
        calls.append(fate)
        if len(calls) == 1:
            machine.boot += fate == "boots"
            raise ConnectionLost("scripted: the connection is lost")
        return timed([1e-3] * 3 for _ in params["functions"])

    machine.transport.ops["time"] = time
    with open_bench(machine) as bench:
        times = timed_on(bench, jobs[0])
    assert [one.rounds_s for one in times] == [(1e-3,) * 3] * 2
    assert len(calls) == 2


def test_a_library_whose_functions_take_the_device_down_twice_has_crashed(open_bench, jobs):
    machine = Machine()

    def time(params):
        machine.boot += 1
        raise ConnectionLost("scripted: the connection is lost")

    machine.transport.ops["time"] = time
    with open_bench(machine) as bench:
        bench.reference = jobs[1]
        with pytest.raises(Crashed, match=r"x\.so: the device booted 2 times"):
            timed_on(bench, jobs[0])
    assert machine.runs == ["b", "b"]


def test_a_boot_while_its_own_loops_are_timed_makes_all_of_it_anew(open_bench, jobs):
    job = replace(jobs[0], fallbacks=(Fallback(Function("f", ()), "cumsum", 1),))
    job.library.write_bytes(b"code")
    machine, calls = Machine(), []

    def time(params):
        calls.append(1)
        if len(calls) == 1:
            machine.boot += 1
            raise ConnectionLost("scripted: the connection is lost")
        return timed([1e-3] * 3 for _ in params["functions"])

    machine.transport.ops["time"] = time
    with open_bench(machine) as bench:
        (warning,) = bench.measure(job, "screening").warnings
    assert "cumsum runs TVM's own loops" in warning
    assert machine.runs == ["a"] * 6
