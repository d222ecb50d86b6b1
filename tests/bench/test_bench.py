"""The measuring protocol, with a device that does what the test says."""

from dataclasses import replace

import numpy as np
import pytest
from scripted import CONDITIONS, FACTS, Die, ScriptedTransport, Silence, ran

from joulefront.bench import Bench
from joulefront.config import MeasureConfig
from joulefront.errors import (
    AgentDied,
    BenchError,
    ConfigError,
    Crashed,
    DeviceBusy,
    Hung,
    MeterError,
    OutOfMemory,
    TransportError,
    WrongOutput,
)
from joulefront.records import Array, Estimate, Job
from joulefront_agent import wire, wire_energy
from joulefront_devices import Device

ONE = np.array([1.0, -2.0], dtype="<f4")
JOB = Job("candidate", "x.so", "a" * 64, (), (Array((2,), "float32", ONE.tobytes()),))
REFERENCE = replace(JOB, label="reference", sha256="b" * 64)
GOOD = (wire.Tensor((2,), "float32", ONE.tobytes()),)
WITH_SENSOR = {**FACTS, "sensor": "rapl", "sensor_covers": "package-0", "sensor_reason": None}
READING = wire_energy.Reading("rapl", "package-0", 10.0, 2.0, 1e-6, 1e-3, None, 0.0)
WINDOW = wire_energy.Window(5.0, 7.0, 1000, 1.0, 1.0, (READING,))
LIBRARY_OF = {"candidate": f"/device/{JOB.sha256}.so", "reference": f"/device/{REFERENCE.sha256}.so"}


@pytest.fixture
def open_bench(monkeypatch):
    """Opens a bench on a scripted transport."""
    monkeypatch.setattr("joulefront.bench.settle.sleep", lambda seconds: None)

    def opened(transport, name="scripted", config=None, tail=False, **device):
        monkeypatch.setattr("joulefront.plugins.build", lambda *args, **kwargs: transport)
        return Bench(Device(name=name, **device), config or MeasureConfig(repeats=3), 1, tail=tail)

    return opened


@pytest.fixture
def job(tmp_path):
    return replace(JOB, library=tmp_path / "x.so")


@pytest.fixture
def reference(tmp_path):
    return replace(REFERENCE, library=tmp_path / "x.so")


def agent(*latencies, **changes):
    """A function for run: one repeat after another takes these latencies, the last for ever. Keeps what was asked."""
    asked = []

    def run(params):
        asked.append(params)
        latency_s = latencies[min(len(asked), len(latencies)) - 1]
        outputs = GOOD if params["outputs"] else ()
        window = WINDOW if params["energy_s"] else None
        return ran(latency_s, **{"outputs": outputs, "window": window, **changes}).to_wire()

    run.asked = asked
    return run


def test_a_steady_network_takes_the_least_repeats(open_bench, job):
    run = agent(1e-3, 1.001e-3, 0.999e-3)
    with open_bench(ScriptedTransport(run=run)) as bench:
        measurement = bench.measure(job, "screening")
    assert measurement.repeats_s == ((1e-3,) * 5, (1.001e-3,) * 5, (0.999e-3,) * 5)
    assert measurement.latency_s.value == 1e-3
    assert (measurement.grade, measurement.provenance) == ("screening", "measured")
    assert measurement.warnings == ()
    assert measurement.energy_j is None
    assert measurement.energy_provenance is None
    assert measurement.energy_reason == "no energy sensor: scripted"
    assert [params["outputs"] for params in run.asked] == [True, False, True]


def test_a_race_that_the_first_repeat_did_not_show_is_a_wrong_output(open_bench, job):
    spoilt = (wire.Tensor((2,), "float32", np.float32([1.5, -2]).tobytes()),)
    answers = [ran(1e-3, outputs=GOOD), ran(1e-3), ran(1e-3, outputs=spoilt)]
    left = iter(answers)
    transport = ScriptedTransport(run=lambda params: next(left).to_wire())
    with open_bench(transport) as bench, pytest.raises(WrongOutput, match="by up to"):
        bench.measure(job, "screening")


def test_the_full_grade_is_more_thorough(open_bench, job):
    screening, full = agent(1e-3), agent(1e-3)
    with open_bench(ScriptedTransport(run=screening)) as bench:
        bench.measure(job, "screening")
    with open_bench(ScriptedTransport(run=full)) as bench:
        assert bench.measure(job, "full").grade == "full"
    assert (len(screening.asked), len(full.asked)) == (3, 5)
    assert full.asked[0]["samples"] > screening.asked[0]["samples"]


def test_a_tail_takes_its_samples_whatever_the_time(open_bench, job):
    plain, tail = agent(1e-3), agent(1e-3, samples_s=(1e-3,) * 250)
    with open_bench(ScriptedTransport(run=plain)) as bench:
        measured = bench.measure(job, "screening")
    assert (measured.latency_p99_s, measured.latency_p99_reason) == (
        None,
        "a 99th percentile needs 1000 samples, and 100 a repeat: there was time for 15, and 5 at least",
    )
    with open_bench(
        ScriptedTransport(run=tail), config=MeasureConfig(repeats=4, time_s=8.0, timeout_s=50.0), tail=True
    ) as bench:
        measured = bench.measure(job, "screening")
    assert (measured.latency_p99_s, measured.latency_p99_reason) == (Estimate(1e-3, 1e-3, 1e-3), None)
    asked = tail.asked[0]
    assert (asked["samples"], asked["sample_s"], asked["sample_limit_s"]) == (250, 1.0, 50.0)
    assert asked["timeout_s"] >= 50.0 + asked["sample_limit_s"]  # what is asked for is no sign of a hang
    assert plain.asked[0]["sample_limit_s"] < 1.0


def test_the_memory_is_that_of_all_repeats_or_has_a_reason(open_bench, job):
    sizes = iter([1000, 1200, 1100])

    def run(params, known=True):
        outputs = GOOD if params["outputs"] else ()
        told = {"memory_b": next(sizes)} if known else {"memory_b": None, "memory_reason": "no /proc there"}
        return ran(1e-3, outputs=outputs, **told).to_wire()

    with open_bench(ScriptedTransport(run=run)) as bench:
        memory_b = bench.measure(job, "screening").memory_b
    assert memory_b.value == 1100
    assert memory_b.low < 1000 < 1200 < memory_b.high
    with open_bench(ScriptedTransport(run=lambda params: run(params, known=False))) as bench:
        measured = bench.measure(job, "screening")
    assert (measured.memory_b, measured.memory_reason) == (None, "no /proc there")


def test_a_scattered_network_is_repeated_until_the_interval_is_narrow(open_bench, job):
    with open_bench(ScriptedTransport(run=agent(1.03e-3, 0.97e-3, 1e-3, 1e-3, 1e-3))) as bench:
        measurement = bench.measure(job, "screening")
    assert 5 < len(measurement.repeats_s) < 30
    half = (measurement.latency_s.high - measurement.latency_s.low) / 2
    assert half <= 0.02 * measurement.latency_s.value
    assert measurement.warnings == ()


def test_when_the_time_is_up_a_warning_says_how_wide_the_interval_is(open_bench, job):
    run = agent(1.3e-3, 0.7e-3, 1e-3, took_s=1.0)
    with open_bench(ScriptedTransport(run=run), config=MeasureConfig(time_s=5.0)) as bench:
        measurement = bench.measure(job, "screening")
    assert len(measurement.repeats_s) == 5
    assert "after 5 repeats the latency's interval is ± " in measurement.warnings[0]
    assert "the time of 5 s was up" in measurement.warnings[0]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ((), "returned 0 outputs, torch 1"),
        ((wire.Tensor((1, 2), "float32", ONE.tobytes()),), r"of shape \(1, 2\) on the device"),
        ((wire.Tensor((2,), "int32", ONE.tobytes()),), "is int32"),
        ((wire.Tensor((2,), "float32", np.float32([np.nan, 1]).tobytes()),), "1 of 2 elements are not finite"),
        ((wire.Tensor((2,), "float32", np.float32([np.inf, 1]).tobytes()),), "not finite on the device"),
        (
            (wire.Tensor((2,), "float32", np.float32([1.001, -2]).tobytes()),),
            "by up to 0.001 where the largest value is 2",
        ),
    ],
)
def test_a_wrong_output_is_never_measured(open_bench, job, outputs, said):
    run = agent(1e-3, outputs=outputs)
    with open_bench(ScriptedTransport(run=run)) as bench, pytest.raises(WrongOutput, match=said):
        bench.measure(job, "screening")
    assert len(run.asked) == 1


def test_an_output_within_rounding_is_right(open_bench, job):
    near = (wire.Tensor((2,), "float32", np.float32([1.0001, -2.0001]).tobytes()),)
    with open_bench(ScriptedTransport(run=agent(1e-3, outputs=near))) as bench:
        bench.measure(job, "screening")


def test_energy_is_gross_joules_per_inference_from_one_window(open_bench, job):
    run = agent(1e-3)
    with open_bench(ScriptedTransport(hello=lambda params: WITH_SENSOR, run=run)) as bench:
        assert bench.has_energy
        assert bench.energy_reason is None
        measurement = bench.measure(job, "screening")
        bench.measure(job, "full")
    assert measurement.energy_j.value == pytest.approx(0.01)
    assert measurement.energy_j.low < 0.01 < measurement.energy_j.high
    assert measurement.energy_provenance == "measured"
    assert measurement.energy_reason is None
    made_of = measurement.energy
    assert (made_of.meter, made_of.covers, made_of.factor) == ("rapl", "package-0", 1.0)
    assert [window.energy_j for window in made_of.windows] == [10.0]
    windows = [params["energy_s"] for params in run.asked]
    assert windows == [0.0, 0.0, 2.0] + [10.0] * 5
    assert [(params["periods"], params["meters"]) for params in run.asked[1:4]] == [
        (0, []),
        (10, ["rapl"]),
        (100, ["rapl"]),
    ]


def test_a_meter_that_is_switched_off_has_a_reason(open_bench, job):
    run = agent(1e-3)
    with open_bench(ScriptedTransport(hello=lambda params: WITH_SENSOR, run=run), meter="none") as bench:
        assert not bench.has_energy
        assert bench.measure(job, "screening").energy_reason == "the file of device 'scripted' says meter = \"none\""
    assert {params["energy_s"] for params in run.asked} == {0.0}


def test_a_meter_that_vanished_is_an_error_and_not_a_gap(open_bench, job):
    run = agent(1e-3, window=None)
    with open_bench(ScriptedTransport(hello=lambda params: WITH_SENSOR, run=run)) as bench, pytest.raises(MeterError):
        bench.measure(job, "screening")


def failing(kinds, reference=None):
    """A function for run: the candidate fails with one kind after another, then runs; the reference as it is told."""

    def run(params):
        run.order.append("candidate" if params["library"] == LIBRARY_OF["candidate"] else "reference")
        if run.order[-1] == "reference" and reference:
            raise wire.Failure(reference, "the reference as well")
        if run.order[-1] == "candidate" and kinds:
            raise wire.Failure(kinds.pop(0), "told to")
        return ran(1e-3, outputs=GOOD if params["outputs"] else ()).to_wire()

    run.order = []
    return run


@pytest.mark.parametrize(("kind", "error"), [("Crashed", Crashed), ("Hung", Hung), ("OutOfMemory", OutOfMemory)])
def test_a_candidate_is_blamed_when_the_reference_runs_between_its_two_failures(
    open_bench, job, reference, kind, error
):
    run = failing([kind, kind])
    with open_bench(ScriptedTransport(run=run)) as bench:
        bench.reference = reference
        with pytest.raises(error, match="candidate: told to"):
            bench.measure(job, "screening")
    assert run.order == ["candidate", "reference", "candidate"]


def test_a_candidate_that_fails_once_is_measured(open_bench, job, reference):
    run = failing(["Crashed"])
    with open_bench(ScriptedTransport(run=run)) as bench:
        bench.reference = reference
        assert len(bench.measure(job, "screening").repeats_s) == 3
    assert run.order == ["candidate", "reference", "candidate", "candidate", "candidate"]


def test_nobody_is_blamed_when_the_reference_fails_too(open_bench, job, reference):
    with open_bench(ScriptedTransport(run=failing(["Hung", "Hung"], reference="Hung"))) as bench:
        bench.reference = reference
        with pytest.raises(BenchError, match=r"candidate failed .*and so does the reference"):
            bench.measure(job, "screening")


def test_without_a_reference_the_second_failure_is_the_candidates(open_bench, job):
    run = failing(["Crashed", "Hung"])
    with open_bench(ScriptedTransport(run=run)) as bench, pytest.raises(Hung, match="twice; first: Crashed"):
        bench.measure(job, "screening")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("BadFile", TransportError),
        ("NoRuntime", TransportError),
        ("NoThreads", BenchError),
        ("BadClock", BenchError),
        ("AgentError", BenchError),
    ],
)
def test_what_no_network_can_be_blamed_for(open_bench, job, kind, error):
    run = failing([kind])
    with open_bench(ScriptedTransport(run=run)) as bench, pytest.raises(error, match="told to"):
        bench.measure(job, "screening")
    assert run.order == ["candidate"]


def test_an_agent_that_dies_once_is_replaced_and_the_measurement_goes_on(open_bench, job):
    good, deaths = agent(1e-3), [1]

    def run(params):
        if deaths:
            deaths.pop()
            raise Die
        return good(params)

    transport = ScriptedTransport(run=run)
    with open_bench(transport) as bench:
        measurement = bench.measure(job, "screening")
        assert bench.measure(job, "screening").warnings == ()
    assert len(measurement.repeats_s) == 3
    assert measurement.warnings == ("the agent was lost and started anew: scripted: the end",)
    assert transport.started == 2


@pytest.mark.parametrize(("end", "error"), [(Die, Crashed), (Silence, Hung)])
def test_a_candidate_that_takes_the_agent_along_twice_is_blamed(open_bench, job, reference, monkeypatch, end, error):
    clock = iter(range(100_000))
    monkeypatch.setattr("joulefront.bench.session.monotonic", lambda: 10.0 * next(clock))
    run, order = agent(1e-3), []

    def lethal(params):
        order.append("candidate" if params["library"] == LIBRARY_OF["candidate"] else "reference")
        if order[-1] == "candidate":
            raise end
        return run(params)

    with open_bench(ScriptedTransport(run=lethal)) as bench:
        bench.reference = reference
        with pytest.raises(error, match=f"twice; first: {error.__name__}"):
            bench.measure(job, "screening")
        assert order == ["candidate", "reference", "candidate"]
        assert "started anew" in bench.measure(reference, "screening").warnings[0]


def test_an_agent_that_dies_of_the_reference_too_is_nobodys_fault(open_bench, job, reference):
    def run(params):
        raise Die

    with open_bench(ScriptedTransport(run=run)) as bench:
        bench.reference = reference
        with pytest.raises(BenchError, match=r"candidate failed \(Crashed.*and so does the reference"):
            bench.measure(job, "screening")


def test_an_agent_that_comes_back_on_another_machine_stops_the_study(open_bench, job):
    def run(params):
        transport.ops["hello"] = lambda params: {**FACTS, "cores": 2}
        raise Die

    transport = ScriptedTransport(run=run)
    with (
        open_bench(transport) as bench,
        pytest.raises(BenchError, match=r"another one since: cores was \[4\], is \[2\]"),
    ):
        bench.measure(job, "screening")


def test_an_agent_that_dies_twice_stops_the_study_without_a_reference(open_bench, job):
    def run(params):
        raise Die

    with open_bench(ScriptedTransport(run=run)) as bench, pytest.raises(AgentDied):
        bench.measure(job, "screening")


def test_doubts_are_said_with_how_many_repeats_they_are_about(open_bench, job):
    answers = [ran(1e-3, outputs=GOOD, steady=False, clock_steps=1), *[ran(1e-3, outputs=GOOD, steady=False)] * 2]
    left = iter(answers)
    with open_bench(ScriptedTransport(run=lambda params: next(left).to_wire())) as bench:
        warnings = bench.measure(job, "screening").warnings
    assert warnings == (
        "warm-up was not shown to be steady (in 3 of 3 repeats)",
        "the device's clock was set meanwhile, and samples were left out (in 1 of 3 repeats)",
    )


def test_conditions_before_and_after_are_kept(open_bench, job):
    with open_bench(ScriptedTransport(run=agent(1e-3))) as bench:
        conditions = bench.measure(job, "screening").conditions
    assert conditions == {"before": {"busy": 0.0, **CONDITIONS}, "after": CONDITIONS}


def test_a_device_is_held_by_one_session(open_bench):
    with (
        open_bench(ScriptedTransport()),
        pytest.raises(DeviceBusy, match="'scripted'"),
        open_bench(ScriptedTransport()),
    ):
        pass
    with open_bench(ScriptedTransport()):
        pass


def test_a_machine_is_held_by_one_session_whatever_names_it(open_bench):
    def elsewhere(params):
        return {**FACTS, "machine": "../another"}

    with open_bench(ScriptedTransport()):
        with (
            pytest.raises(DeviceBusy, match="the machine of the device 'board'"),
            open_bench(ScriptedTransport(), "board"),
        ):
            pass
        with open_bench(ScriptedTransport(hello=elsewhere), "board"):
            pass


def test_a_bench_that_cannot_be_opened_leaves_nothing_held(open_bench):
    transport = ScriptedTransport(hello=lambda params: {**FACTS, "architecture": "riscv64"})
    with pytest.raises(ConfigError, match=r"riscv64.*\[target\]"), open_bench(transport):
        pass
    assert transport.closed
    with open_bench(ScriptedTransport()):
        pass
