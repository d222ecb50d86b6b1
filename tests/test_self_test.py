"""A self-test: what is good, what is missing and what is bad, each with what to do about it."""

import dataclasses

import pytest

from joulefront import self_test
from joulefront.errors import DeviceBusy, MeterError, TransportError, Unsettled, WrongOutput
from joulefront.records import Estimate, Measurement, Target
from joulefront_devices import Device
from simulated import Silent

FACTS = {
    "cores": 4,
    "memory_b": 2**30,
    "model": "A board",
    "sensor": "hwmon:ina226",
    "sensor_covers": "all of it",
    "sensors": "hwmon:ina226",
}
MEASURED = Measurement(
    grade="screening",
    provenance="measured",
    latency_s=Estimate(1e-3, 0.9e-3, 1.1e-3),
    repeats_s=((1e-3,) * 5,) * 3,
    energy_j=Estimate(1e-3, 0.9e-3, 1.1e-3),
    energy_provenance="measured",
    energy_reason=None,
    conditions={
        "before": {"governor": "performance", "throttles": 1},
        "after": {"throttles": 1, "temperature_c": 50.0},
    },
)
BLIND = dataclasses.replace(MEASURED, energy_j=None, energy_provenance=None, energy_reason="no energy sensor: none")
# As this host's, so that any linker does.
TARGET = Target("x86_64-linux-gnu", "x86-64-v2", (), 4, 16)


class Bench:
    """A device that gives the outcome that the test says, when it is measured."""

    def __init__(self, outcome=MEASURED, facts=FACTS, target=TARGET):
        self.outcome, self.facts, self.target = outcome, facts, target

    def measure(self, job, grade):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def run(monkeypatch, bench, **device):
    monkeypatch.setattr(self_test, "Bench", lambda *_: bench)
    return self_test.self_test(Device(name="board", **device), Silent())


def found(verdict, what):
    (finding,) = [finding for finding in verdict.findings if finding.what == what]
    return finding


def test_a_device_with_all_it_needs_is_ready(monkeypatch):
    verdict = run(monkeypatch, Bench())
    assert verdict.status == "ready"
    assert [finding.what for finding in verdict.findings] == [
        "connection", "processor", "memory", "compiler", "network", "meter", "governor", "heat",
    ]  # fmt: skip
    assert not [finding for finding in verdict.findings if finding.fix]


@pytest.mark.parametrize(
    ("bench", "what", "detail", "fix"),
    [
        (Bench(BLIND), "meter", "no energy sensor: none", "choose one of its sensors: .* --meter hwmon:ina226"),
        (Bench(BLIND, FACTS | {"sensors": ""}), "meter", "no energy", "devices edit board --meter none"),
        (
            Bench(
                dataclasses.replace(MEASURED, conditions={"before": {"governor": "ondemand,performance"}, "after": {}})
            ),
            "governor",
            "ondemand,performance: the clock changes",
            "echo performance | sudo tee",
        ),
        (
            Bench(dataclasses.replace(MEASURED, conditions={"before": {"throttles": 1}, "after": {"throttles": 3}})),
            "heat",
            "the processor was throttled 2 times",
            "cool it",
        ),
        (
            Bench(
                dataclasses.replace(MEASURED, conditions={"before": {"throttled": 0}, "after": {"throttled": 0x50001}})
            ),
            "heat",
            "the firmware says: under-voltage, its clock is throttled",
            "power supply",
        ),
        (
            Bench(
                dataclasses.replace(MEASURED, conditions={"before": {"governor": "ondemand"}, "after": {}}),
                FACTS
                | {"governor": "ondemand", "governor_reason": "scaling_governor cannot be set: Permission denied"},
            ),
            "governor",
            "ondemand: the clock changes with the load, so latencies spread more; scaling_governor cannot be set: Perm",
            "echo performance | sudo tee",
        ),
        (Bench(facts=FACTS | {"memory_b": 2**25}), "memory", "32 MiB: larger networks", "small networks only"),
    ],
)
def test_what_is_missing_comes_with_its_fix(monkeypatch, bench, what, detail, fix):
    verdict = run(monkeypatch, bench)
    finding = found(verdict, what)
    assert finding.detail.startswith(detail)
    assert (finding.state, verdict.status) == ("missing", "incomplete")
    assert all(part in finding.fix for part in fix.split(".*"))


def with_conditions(before, after=None, **facts):
    return Bench(
        dataclasses.replace(MEASURED, conditions={"before": before, "after": after or {}}),
        FACTS | {"governor": before.get("governor"), "governor_former": None, "governor_reason": None, **facts},
    )


@pytest.mark.parametrize(
    ("bench", "device", "detail"),
    [
        (with_conditions({"governor": "performance"}), {}, "performance"),
        (
            with_conditions({"governor": "performance"}, governor_former="ondemand"),
            {},
            "performance while it is measured, ondemand before and afterwards",
        ),
        (
            with_conditions({"governor": "performance", "boost": 1}),
            {},
            "performance; the processor boosts, so its clock still depends on heat and load",
        ),
        (
            with_conditions({"governor": "schedutil", "frequency_min_hz": 1.5e9, "frequency_max_hz": 1.5e9}),
            {},
            "schedutil",
        ),
        (
            with_conditions({"governor": "ondemand"}),
            {"governor": "keep"},
            "ondemand: the clock changes with the load, so latencies spread more; it is kept, as the device's file says",
        ),
    ],
)
def test_a_governor_that_is_as_it_should_be(monkeypatch, bench, device, detail):
    finding = found(run(monkeypatch, bench, **device), "governor")
    assert (finding.state, finding.detail, finding.fix) == ("good", detail, None)


@pytest.mark.parametrize(
    ("after", "detail"),
    [
        ({"throttled": 0}, "not throttled meanwhile"),
        ({"throttled": 0, "temperature_c": 50.4}, "50 °C, not throttled meanwhile"),
        (
            {"throttled": 0x50000, "temperature_c": 50.0},
            "50 °C, not throttled meanwhile, once since its start: under-voltage, its clock is throttled",
        ),
    ],
)
def test_what_the_firmware_says_of_the_time_before_is_only_noted(monkeypatch, after, detail):
    bench = with_conditions({"throttled": after["throttled"]}, after)
    finding = found(run(monkeypatch, bench), "heat")
    assert (finding.state, finding.detail) == ("good", detail)


def test_a_machine_that_tells_neither_governor_nor_heat_has_no_such_findings(monkeypatch):
    verdict = run(monkeypatch, with_conditions({}))
    assert not {finding.what for finding in verdict.findings} & {"governor", "heat"}


def test_repeats_that_were_set_aside_are_said(monkeypatch):
    measured = dataclasses.replace(MEASURED, set_aside=("repeat 1: it was throttled",))
    assert "; set aside: repeat 1: it was throttled" in found(run(monkeypatch, Bench(measured)), "network").detail


def test_a_processor_that_is_not_known_is_said(monkeypatch):
    target = Target("aarch64-linux-gnu", "generic", ("+neon",), 4, 32)
    monkeypatch.setattr(self_test, "_compiled", lambda *_: None)
    verdict = run(monkeypatch, Bench(facts=FACTS | {"cpu_parts": "0x41:0xfff"}, target=target))
    finding = found(verdict, "processor")
    assert (finding.state, "0x41:0xfff" in finding.detail, "[target]" in finding.fix) == ("missing", True, True)


def test_who_wants_no_meter_misses_none(monkeypatch):
    assert run(monkeypatch, Bench(BLIND), meter="none").status == "ready"


def test_a_simulated_device_is_called_so(monkeypatch):
    measured = dataclasses.replace(MEASURED, provenance="simulated")
    verdict = run(monkeypatch, Bench(measured, FACTS | {"simulated": "it is QEMU"}))
    assert found(verdict, "machine").detail.startswith("simulated: it is QEMU")
    assert "its latency is simulated" in found(verdict, "network").detail


@pytest.mark.parametrize(
    ("outcome", "what"),
    [
        (WrongOutput("0.5 relative"), "network"),
        (MeterError("it stands still"), "meter"),
        (TransportError("gone"), "network"),
        (Unsettled("it was throttled each time"), "conditions"),
    ],
)
def test_what_fails_is_bad(monkeypatch, outcome, what):
    verdict = run(monkeypatch, Bench(outcome))
    assert verdict.status == "failing"
    assert found(verdict, what).state == "bad"
    assert str(outcome) in found(verdict, what).detail
    assert verdict.facts == FACTS


def test_a_device_that_is_not_there_is_bad_and_tells_nothing(monkeypatch):
    class Gone(Bench):
        def __enter__(self):
            raise TransportError("nobody answers")

    verdict = run(monkeypatch, Gone())
    assert (verdict.status, verdict.facts) == ("failing", {})
    assert found(verdict, "connection").detail == "nobody answers"


def test_a_device_that_another_session_holds_gets_no_verdict(monkeypatch):
    class Busy(Bench):
        def __enter__(self):
            raise DeviceBusy("another session measures")

    with pytest.raises(DeviceBusy):
        run(monkeypatch, Busy())
