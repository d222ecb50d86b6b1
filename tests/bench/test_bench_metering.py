"""What measures a device, wherever it is: windows by the device's clock, on a meter by this host's."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import CONDITIONS, FACTS, Die, ScriptedTransport, ran, watched

from joulefront.bench import metering
from joulefront.bench.session import Session
from joulefront.config import Plugin
from joulefront.errors import AgentDied, ConfigError, MeterError
from joulefront.records import EnergyWindow
from joulefront_agent import wire
from joulefront_agent.wire_energy import Reading, Watch, Watched, Window
from joulefront_devices import Device

SKEW_S = 5000.0
WATCH = Watch((), 0, 1.0, 0, 1.0, 10.0)


class Recorder:
    """A meter that tells 2 W, or what it is told to, and what it was asked."""

    name, covers, provenance = "recorder", "the plug", "measured"

    def __init__(self, watts=2.0):
        self.did = []
        self.error = None
        self.watts = watts
        self.period_s = 1e-3

    def begin(self):
        self.did.append("begin")

    def end(self):
        self.did.append("end")
        if self.error:
            raise self.error

    def energy(self, stretch):
        self.did.append("energy")
        self.stretch = stretch
        length_s = stretch.end_s - stretch.begin_s
        return EnergyWindow(
            self.watts * length_s, length_s, stretch.inferences, 0.0, self.period_s, None, stretch.edges_s, 0.0
        )

    def close(self):
        self.did.append("close")


@pytest.fixture
def host(monkeypatch):
    """This host's clock, which moves by 0.1 ms each time that it is asked."""
    now = [100.0]

    def clock(which):
        now[0] += 1e-4
        return now[0]

    monkeypatch.setattr("joulefront.bench.session.clock_gettime", clock)
    monkeypatch.setattr("joulefront.bench.alignment.clock_gettime", clock)
    return now


@contextmanager
def open_session(host, **ops):
    """A session with a device whose clock is 5000 s ahead; a run of it lasts 3 s, of which a window has 1."""

    def window():
        host[0] += 3.0
        return Window(host[0] - 2 + SKEW_S, host[0] - 1 + SKEW_S, 40, 1.5, 0.0, ())

    transport = ScriptedTransport(**{
        "clock": lambda params: {"raw_s": host[0] + SKEW_S + 5e-5},
        "run": lambda params: ran(1e-3, window=window()).to_wire(),
        "watch": lambda params: Watched(window(), CONDITIONS, CONDITIONS).to_wire(),
        **ops,
    })  # fmt: skip
    with Session(transport, "none") as session:
        yield session


def run(meter, session):
    made = metering.Metering(Device(name="b", meter=Plugin(kind="x")), FACTS, meter)
    return made.run(session, RUN, Path("lib.so"))


RUN = wire.Run("", "0" * 64, (), 1, True, False, 0.0, 0.0, 1, 0.0, 1.0, 0, 1.0, (), 10.0)


def test_a_window_is_looked_up_at_this_hosts_time(host):
    meter = Recorder()
    with open_session(host) as session:
        begun_s = host[0]
        answer, window = run(meter, session)
    stretch = meter.stretch
    assert meter.did == ["begin", "end", "energy"]
    # The run began once the clocks had been compared; the window 1 s later.
    assert stretch.begin_s - begun_s == pytest.approx(1.0, abs=0.05)
    assert stretch.begin_s == pytest.approx(answer.window.begin_s - SKEW_S, abs=2 * stretch.edges_s)
    assert stretch.end_s - stretch.begin_s == pytest.approx(1.0, abs=2 * stretch.edges_s)
    assert 0 < stretch.edges_s < 1e-4
    assert (stretch.inferences, stretch.busy_cores, stretch.cores) == (40, 1.5, 4)
    assert (window.inferences, window.edges_s) == (40, stretch.edges_s)


def test_a_watch_as_well(host):
    meter = Recorder()
    with open_session(host) as session:
        told, window = metering.watched(session, meter, WATCH)
    assert window.energy_j == pytest.approx(2.0, abs=1e-3)
    assert told.window.inferences == 40


def test_windows_wait_for_the_updates_of_a_meter_on_the_host(host):
    """As long as its last window showed that it takes; what the device reads itself, it waits for itself."""
    asked, meter = [], Recorder()
    meter.period_s = 0.25
    made = metering.Metering(Device(name="b", meter=Plugin(kind="x")), FACTS, meter)

    def noted(params):
        asked.append(params["least_s"] if "least_s" in params else params["energy_s"])
        window = Window(host[0] + SKEW_S, host[0] + 1 + SKEW_S, 40, 1.5, 0.0, ())
        host[0] += 3.0
        meter.watts += 1.0
        return window

    ops = {
        "watch": lambda params: Watched(noted(params), CONDITIONS, CONDITIONS).to_wire(),
        "run": lambda params: ran(1e-3, window=noted(params)).to_wire(),
    }
    with open_session(host, **ops) as session:
        for _ in range(2):
            made.watch(session, replace(WATCH, periods=20, most_s=4.0))
        made.run(session, replace(RUN, periods=20, energy_limit_s=10.0), Path("lib.so"))
    assert asked == [1.0, 4.0, 5.0]


def test_without_a_window_the_meter_is_left_alone(host):
    meter = Recorder()
    made = metering.Metering(Device(name="b", meter=Plugin(kind="x")), FACTS, meter)
    with open_session(host) as session:
        _, window = made.run(session, wire.Run(**{**vars(RUN), "energy_s": 0.0}), Path("lib.so"))
    assert (window, meter.did) == (None, [])


def test_a_run_that_fails_ends_the_recording_and_says_itself_why(host):
    def die(params):
        raise Die

    meter = Recorder()
    meter.error = MeterError("it sends no more")
    with open_session(host, run=die) as session, pytest.raises(AgentDied, match="scripted: the end"):
        run(meter, session)
    assert meter.did == ["begin", "end"]


def test_an_agent_that_tells_no_window_is_an_error(host):
    untold = open_session(host, run=lambda params: ran(1e-3).to_wire())
    with untold as session, pytest.raises(MeterError, match="was to tell when the network's energy window was"):
        run(Recorder(), session)


def test_a_device_that_booted_meanwhile_is_an_error(host):
    """Its agent went unnoticed while nobody asked it anything, and the one that follows is of another boot."""
    boots, meter = iter(["one", "two"]), Recorder()
    with open_session(host, hello=lambda params: {**FACTS, "boot": next(boots)}) as session:
        meter.end = session.renew
        with pytest.raises(MeterError, match="booted meanwhile, and its clock began anew"):
            run(meter, session)


def test_a_clock_that_jumped_meanwhile_is_an_error(host):
    jumped = []

    def clock(params):
        jumped.append(1)
        return {"raw_s": host[0] + SKEW_S + (0.5 if len(jumped) > 64 else 0)}

    with open_session(host, clock=clock) as session, pytest.raises(MeterError, match="do not run evenly"):
        run(Recorder(), session)


# What it tells


@pytest.mark.parametrize("watts", [0.0, -2.0, float("nan"), float("inf"), float("-inf")])
def test_what_is_no_power_of_a_device_is_an_error(host, watts):
    with open_session(host) as session:
        for ask in (lambda: run(Recorder(watts), session), lambda: metering.watched(session, Recorder(watts), WATCH)):
            with pytest.raises(MeterError, match=r"^recorder told \S+ J over 1 s, and a device that runs takes some"):
                ask()


@pytest.mark.parametrize("energy_j", [0.0, -1.0])
def test_nor_is_it_of_a_sensor_of_the_devices_own(host, energy_j):
    """Whatever its agent let through."""
    told = Watched(Window(1.0, 2.0, 0, 0.0, 0.0, (Reading("rapl", "all", energy_j, 1.0, 0.0, 0.0, None, 0.0),)), {}, {})
    made = metering.Metering(Device(name="b"), {**FACTS, "sensor": "rapl", "sensor_covers": "package-0"})
    with open_session(host) as session:
        session.watch = lambda watch: told
        with pytest.raises(MeterError, match=rf"rapl told {energy_j:.4g} J over 1 s"):
            made.watch(session, WATCH)


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ([("a", 5.0), ("b", 5.0)], "in two windows, one after the other"),
        ([("a", 5.0), ("a", 5.0 * (1 + 1e-12))], "in two windows, one after the other"),
        ([("a", 5.0), ("b", 5.0 * (1 + 1e-8))], None),
        ([("a", 5.0), ("b", 6.0), ("a", 5.0)], None),
        ([("idle", 2.0), ("idle", 2.0)], None),
        ([("idle", 2.0), ("a", 2.0)], "idle and while a network ran"),
        ([("idle", 2.0), ("idle", 2.1), ("a", 2.0)], "idle and while a network ran"),
        ([("a", 5.0), ("idle", 5.0)], "while a network ran and idle"),
        ([("idle", 2.0), ("a", 5.0), ("a", 5.0)], None),  # a coarse one
        ([("idle", 2.0), ("a", 5.0), ("b", 5.0)], "in two windows, one after the other"),
    ],
)
@pytest.mark.parametrize("provenance", ["measured", "estimated", "simulated"])
def test_a_meter_that_tells_the_same_to_the_last_digit_is_frozen(host, windows, said, provenance):
    meter = Recorder()
    meter.provenance = provenance
    made = metering.Metering(Device(name="b", meter=Plugin(kind="x")), FACTS, meter)

    def ask(session, name, watts):
        meter.watts = watts
        if name == "idle":
            return made.watch(session, WATCH)
        return made.run(session, replace(RUN, sha256=name * 64), Path("lib.so"))

    with open_session(host) as session:
        for window in windows[:-1]:
            ask(session, *window)
        if said is None or provenance != "measured":
            ask(session, *windows[-1])
            return
        for _ in range(2):  # made again, it is no better
            with pytest.raises(MeterError, match=f"{said}, to the last digit: it is stuck, or far too coarse"):
                ask(session, *windows[-1])


# Which one it is


@pytest.mark.parametrize(
    ("meter", "facts", "said"),
    [
        ("none", {"sensor": None, "sensor_reason": "told not to"}, 'says meter = "none"'),
        ("auto", {"sensor": None, "sensor_reason": "no sensor: x"}, "no sensor: x"),
        ("auto", {"sensor": "rapl", "sensor_covers": "package-0"}, None),
    ],
)
def test_a_sensor_of_the_devices_own_is_read_by_the_agent(meter, facts, said):
    with metering.opened(Device(name="b", meter=meter), {**FACTS, **facts}, Path()) as made:
        assert made.sensors == (() if said else ("rapl",))
        assert made.reason is None if said is None else said in made.reason


def test_a_meter_on_the_host_is_built_and_let_go(monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text("class Mine:\n    name, covers, provenance, closed = 'mine', 'all', 'measured', []\n"
                                      "    def close(self): self.closed.append(1)\n")  # fmt: skip
    device = Device(name="b", meter=Plugin(kind="mine.py:Mine"))
    with metering.opened(device, FACTS, tmp_path) as made:
        assert (made.name, made.covers, made.provenance, made.sensors, made.reason) == (
            "mine",
            "all",
            "measured",
            (),
            None,
        )
        mine = made._host
        assert mine.closed == []
    assert mine.closed == [1]


def test_a_simulated_devices_joules_are_simulated_whatever_measures_them(tmp_path):
    device = Device(name="b", meter=Plugin(kind="cpu-model", idle_w=1.0, busy_w=2.0))
    for facts, provenance in ((FACTS, "estimated"), ({**FACTS, "simulated": True}, "simulated")):
        with metering.opened(device, facts, tmp_path) as made:
            assert made.provenance == provenance


def test_a_meter_that_is_described_wrongly_names_the_device_and_the_table(tmp_path):
    device = Device(name="b", meter=Plugin(kind="cpu-model", idle_w=1.0))
    with (
        pytest.raises(ConfigError, match=r"device b: \[meter\] busy_w: missing"),
        metering.opened(device, FACTS, tmp_path),
    ):
        pass


def test_a_sensor_that_is_gone_meanwhile_is_an_error(host):
    made = metering.Metering(Device(name="b"), {**FACTS, "sensor": "rapl", "sensor_covers": "package-0"})
    gone = open_session(host, watch=lambda params: watched(params).to_wire())
    with gone as session, pytest.raises(MeterError, match="'rapl' was there at first and is no more"):
        made.watch(session, WATCH)
