"""A device's self-test: everything that a search will need of it is tried once, and what is missing is said with its fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from joulefront.bench import firmware, validity
from joulefront.bench.bench import Bench
from joulefront.cache import Cache
from joulefront.compiled import Compiled, compiled_model, load_compiler
from joulefront.config import CompileConfig, MeasureConfig
from joulefront.errors import (
    BenchError,
    CandidateError,
    ConfigError,
    DeviceBusy,
    JoulefrontError,
    MeterError,
    Unsettled,
)
from joulefront.loaded import model_key
from joulefront.protocols import Listener
from joulefront.records import Measurement, Target
from joulefront.tuning.database import NOTHING
from joulefront_devices import profile
from joulefront_devices.device import Device, Status, sensors_in

_LEAST_MEMORY_B = 64 * 2**20
# A look, not a result: closer than that it need not be.
_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``bad`` stops a search, ``missing`` makes it less good, ``fix`` says what to do."""

    what: str
    state: Literal["good", "missing", "bad"]
    detail: str
    fix: str | None = None


@dataclass(slots=True)
class Verdict:
    """What a self-test found; without ``facts`` when the device could not be opened."""

    findings: list[Finding] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)
    measurement: Measurement | None = None
    notes: Sequence[str] = ()

    @property
    def status(self) -> Status:
        """ "failing" when a search cannot run there, "incomplete" when something is missing."""
        states = {finding.state for finding in self.findings}
        return "failing" if "bad" in states else "incomplete" if "missing" in states else "ready"

    def add(self, what: str, state: Literal["good", "missing", "bad"], detail: str, fix: str | None = None) -> None:
        """One more finding."""
        self.findings.append(Finding(what, state, detail, fix))


def self_test(device: Device, listener: Listener) -> Verdict:
    """Open the device, run a tiny network there, check its outputs, time it, and read the meter.

    Whatever fails is a finding, but for a device that another session holds: that raises DeviceBusy.
    """
    verdict = Verdict(notes=profile(device.profile).notes if device.profile else ())
    listener.stage(f"opening {device.name}")
    with _found(verdict, "connection"), Bench(device, MeasureConfig(interval=_INTERVAL), 1) as bench:
        verdict.facts = dict(bench.facts)
        verdict.add("connection", "good", _where(device))
        _look(verdict, device, bench.facts, bench.target)
        compiled = None
        with _found(verdict, "compiler"):
            compiled = _compiled(bench.target, verdict, listener)
        if compiled is not None:
            listener.stage(f"running a small network on {device.name}")
            with _found(verdict, "network"):
                _measure(verdict, bench, compiled, device)
    return verdict


@contextmanager
def _found(verdict: Verdict, what: str) -> Iterator[None]:
    """What fails meanwhile is a bad finding about ``what``."""
    try:
        yield
    except DeviceBusy:
        raise
    except JoulefrontError as error:
        kinds = {MeterError: "meter", Unsettled: "conditions"}
        about = next((about for kind, about in kinds.items() if isinstance(error, kind)), what)
        verdict.add(about, "bad", str(error))


def _where(device: Device) -> str:
    """How the device is reached, in words."""
    arguments = device.transport.arguments
    if "host" not in arguments:
        return f"by the transport {device.transport.kind}"
    user = f"{arguments['user']}@" if "user" in arguments else ""
    port = f" port {arguments['port']}" if "port" in arguments else ""
    return f"over SSH to {user}{arguments['host']}{port}, with everything that the agent needs"


def _look(verdict: Verdict, device: Device, facts: Mapping[str, Any], target: Target) -> None:
    """What the device says about itself."""
    simulated = facts.get("simulated")
    if simulated:
        verdict.add("machine", "good", f"simulated: {simulated}; what is measured there is called simulated")
    processor = (
        f"{facts.get('model') or 'its model is not told'}, {facts['cores']} cores, {target.cpu} ({target.triple})"
    )
    if target.cpu == "generic" and device.target is None:
        verdict.add(
            "processor",
            "missing",
            f"{processor}: its cores ({facts.get('cpu_parts') or 'not told'}) are not known here, so code is for any of them",
            f"if you know LLVM's name for them: a [target] table in the file of {device.name}",
        )
    else:
        verdict.add("processor", "good", processor)
    memory_b = facts.get("memory_b")
    if memory_b is not None:
        enough = memory_b >= _LEAST_MEMORY_B
        detail = f"{memory_b / 2**20:.0f} MiB"
        verdict.add(
            "memory",
            "good" if enough else "missing",
            detail if enough else f"{detail}: larger networks will not fit",
            None if enough else "measure small networks only, or end what else runs there",
        )


def _compiled(target: Target, verdict: Verdict, listener: Listener) -> Compiled | None:
    """The test's network as a library; None, and why, without a linker for the target."""
    from joulefront.compile import link

    try:
        compiler = load_compiler(CompileConfig(), Path(), target, NOTHING)
        linker = link.linker(target.triple)
        slow = " (zig's first one takes about ten seconds)" if "ziglang" in linker else ""
        listener.stage(f"trying a link for {target.triple}{slow}")
        link.warm(target.triple)
    except ConfigError as error:
        what, _, fix = str(error).partition(": ")
        verdict.add("compiler", "bad", what, fix or None)
        return None
    verdict.add("compiler", "good", f"{link.version(linker)} links for {target.triple}")
    listener.stage("compiling a small network")
    model, example = _network()
    return compiled_model(
        lambda: model,
        example,
        compiler,
        target,
        Cache(),
        key=model_key(model, example),
        label="the self-test's network",
    )


def _network() -> tuple[Any, tuple[Any, ...]]:
    """A network that takes no more than a moment on an emulated board: 15,000 multiply-accumulates."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 12 * 12, 4)).eval()
        return model, (torch.randn(1, 1, 14, 14),)


def _measure(verdict: Verdict, bench: Bench, compiled: Compiled, device: Device) -> None:
    """Run it there, compare its outputs with torch's, and take its time and energy."""
    try:
        measured = bench.measure(compiled.job, "screening")
    except CandidateError as error:  # of a network that runs anywhere
        raise BenchError(f"{type(error).__name__}: {error}") from error
    verdict.measurement = measured
    aside = (f"set aside: {reason}" for reason in measured.set_aside)
    remarks = "".join(f"; {remark}" for remark in (*measured.warnings, *aside))
    verdict.add("network", "good", f"its outputs are torch's; its latency is {measured.provenance}{remarks}")
    if measured.energy_j is not None:
        others = ", ".join(name for name in sensors_in(bench.facts) if name != bench.facts.get("sensor"))
        also = (
            f"; another one of its meters ({others}): joulefront devices edit {device.name} --meter NAME"
            if others
            else ""
        )
        verdict.add("meter", "good", f"{bench.facts.get('sensor_covers')}{also}")
    elif device.meter == "none":
        verdict.add("meter", "good", "none, as the device's file says")
    else:
        verdict.add("meter", "missing", str(measured.energy_reason), _meter_fix(device, bench.facts))
    _governor(verdict, device, bench.facts, measured.conditions["before"])
    _heat(verdict, measured.conditions["before"], measured.conditions["after"])


def _meter_fix(device: Device, facts: Mapping[str, Any]) -> str:
    edit = f"joulefront devices edit {device.name} --meter"
    sensors = sensors_in(facts)
    if sensors:
        return f"choose one of its sensors: {edit} {sensors[0]}" + (
            f" (or {', '.join(sensors[1:])})" if sensors[1:] else ""
        )
    return f"to search without energy and without this remark: {edit} none"


def _governor(verdict: Verdict, device: Device, facts: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Whether the processor's clock is steady, and who saw to it."""
    governor, former, reason = before.get("governor"), facts.get("governor_former"), facts.get("governor_reason")
    if not governor:
        return
    if validity.is_steady(before) or governor == "performance":
        boosts = (
            "; the processor boosts, so its clock still depends on heat and load" if before.get("boost") == 1 else ""
        )
        meanwhile = f" while it is measured, {former} before and afterwards" if former else ""
        verdict.add("governor", "good", f"{governor}{meanwhile}{boosts}")
        return
    detail = f"{governor}: the clock changes with the load, so latencies spread more"
    if device.governor == "keep":
        verdict.add("governor", "good", f"{detail}; it is kept, as the device's file says")
        return
    verdict.add(
        "governor",
        "missing",
        f"{detail}; {reason}" if reason else detail,
        "on the device, until its next boot: "
        "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def _heat(verdict: Verdict, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Whether heat or want of power slowed the processor down; what did since its start is only noted."""
    throttled = validity.throttled(before, after)
    if throttled:
        verdict.add("heat", "missing", "; ".join(throttled), "cool it, and see that its power supply is enough")
        return
    bits = after.get("throttled")
    once = firmware.words(firmware.latched(bits)) if isinstance(bits, int) else ""
    remarks = [f"{after['temperature_c']:.0f} °C"] if after.get("temperature_c") is not None else []
    if remarks or once or isinstance(bits, int):
        since = [f"once since its start: {once}"] if once else []
        verdict.add("heat", "good", ", ".join([*remarks, "not throttled meanwhile", *since]))
