"""A device's meter is calibrated: what is watched, what goes into the device's file, what is refused, and how it is undone."""

import tomllib
from contextlib import contextmanager

import pytest

from command_line import joulefront
from joulefront import calibrate as module
from joulefront.bench import metering, meters
from joulefront.calibrate import calibrate, forget
from joulefront.errors import ConfigError, MeterError
from joulefront.records import EnergyWindow
from joulefront.report import meters as tables
from joulefront_agent import wire
from joulefront_agent.wire_energy import Reading, Watched, Window
from joulefront_devices import load
from simulated import Silent

OWN, OTHER = "hwmon:ina3221/VDD_IN", "hwmon:ina226"
FILE = f"""# Mine.
name = "pi5"
meter = "{OWN}"  # the module's
"""


class Session:
    """Answers a watch by the truth: idle at 2 W, and 4 W more for busy cores; each sensor has its factor and offset."""

    def __init__(self, sensor=OWN, fails=None, **facts):
        self.facts = {"sensor": sensor, "sensor_reason": "no sensor", "cores": 4, **facts}
        self.asked = []
        self.true = {OWN: (1.0, 0.0), OTHER: (1.05, 0.0)}
        self._fails = fails
        self.throttles = iter(())  # of each reading of the conditions

    def watch(self, watch):
        self.asked.append(watch)
        if self._fails:
            raise self._fails
        turn = len(self.asked)
        watts = (2.0 + 4.0 * bool(watch.busy)) * (1 + 1e-3 * (turn * 7 % 5 - 2))
        readings = tuple(
            Reading(
                name,
                f"what {name} covers",
                self.joules(name, watts * (1 + 1e-4 * (turn % 3))),
                10.0,
                1e-3,
                0.01,
                None,
                0.0,
            )
            for name in watch.meters
        )
        before, after = ({"throttles": next(self.throttles, 0)} for _ in range(2))
        return Watched(Window(turn * 100.0, turn * 100.0 + 10.0, 0, float(watch.busy), 0.0, readings), before, after)

    def joules(self, name, watts):
        factor, offset_w = self.true[name]
        return 10.0 * (factor * watts + offset_w)


class Outside:
    """A meter on the host."""

    name, covers, provenance, closed = "joulescope:js220/1", "behind the plug", "measured", False

    def close(self):
        Outside.closed = True


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(tmp_path))
    path = tmp_path / "pi5.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def session(monkeypatch):
    opened = Session()

    @contextmanager
    def open_it(device):
        yield opened

    monkeypatch.setattr(module, "opened", open_it)
    return opened


@pytest.fixture
def host(monkeypatch):
    """A host meter by any name, which sees a tenth more than the device's own."""
    built = []

    def build(plugin, *, folder, where):
        built.append((plugin.kind, where))
        return Outside()

    def watched(session, meter, watch):
        told = session.watch(watch)
        (reading,) = told.window.readings
        return told, EnergyWindow(1.1 * reading.energy_j, 10.0, 0, 1e-6, 0.0, None, 1e-4, 0.0)

    monkeypatch.setattr(meters, "build", build)
    monkeypatch.setattr(metering, "watched", watched)
    return built


def run(against=OTHER, **given):
    return calibrate("pi5", against, Silent(), **{"window_s": 10.0, "rounds": 5, **given})


def test_the_factor_goes_into_the_device_s_file_and_comments_stay(file, session):
    document = run()
    assert document["stored"] is True
    assert document["reason"] is None
    text = file.read_text()
    assert text.startswith(FILE)
    table = tomllib.loads(text)["calibration"]
    assert table["factor"] == document["factor"]["value"] == pytest.approx(1.05)
    assert [table["low"], table["high"]] == document["factor"]["interval"]
    assert (table["meter"], table["against"], table["at"]) == (OWN, OTHER, document["at"])
    known = load("pi5").calibration
    assert known is not None
    assert known.low < 1.05 < known.high


def test_both_are_watched_at_once_idle_and_busy_in_turns(session):
    document = run(rounds=4)
    assert {watch.meters for watch in session.asked} == {(OWN, OTHER)}
    # A core is left to what reads the meters.
    assert [watch.busy for watch in session.asked] == [0, 3, 3, 0, 0, 3, 3, 0]
    assert (document["rounds"], document["window_s"]) == (4, 10.0)
    assert document["idle"]["power_w"] == pytest.approx(2.0, rel=0.01)
    assert document["busy"]["against_power_w"] == pytest.approx(6.3, rel=0.01)


def test_a_device_s_pin_marks_the_windows(file, session):
    file.write_text(f'mark = "/sys/class/gpio/gpio17/value"\n{FILE}')
    run(rounds=4)
    assert {watch.mark for watch in session.asked} == {"/sys/class/gpio/gpio17/value"}


def test_a_machine_of_one_core_is_busy_with_it(session):
    session.facts["cores"] = 1
    run(rounds=4)
    assert {watch.busy for watch in session.asked} == {0, 1}


@pytest.mark.parametrize("against", [OTHER, "joulescope"])
def test_a_processor_that_was_throttled_meanwhile_is_a_warning(session, host, against):
    session.throttles = iter([0, 0, 0, 2, 2, 2])  # in the second window, a busy one
    warnings = run(against, rounds=4)["warnings"]
    said = "with the device busy, the processor was throttled 2 times meanwhile (in 1 of its 4 rounds)"
    assert [warning for warning in warnings if "throttled" in warning] == [said]
    assert not any("throttled" in warning for warning in run(against, rounds=4)["warnings"])


def test_what_covers_different_things_is_said(session):
    assert any(f"what {OWN} covers; what {OTHER} covers" in warning for warning in run()["warnings"])


def test_a_simulated_device_s_factor_says_so(file, session):
    session.facts["simulated"] = "an emulator"
    assert run()["provenance"] == "simulated"
    assert tomllib.loads(file.read_text())["calibration"]["provenance"] == "simulated"


def test_an_offset_is_refused_and_the_file_stays_as_it_was(file, session, monkeypatch, capsys):
    session.true[OTHER] = (1.0, 0.7)
    document = run()
    assert document["stored"] is False
    assert "by more than a factor, about 1 times its watts + 0.7 W" in document["reason"]
    assert file.read_text() == FILE
    assert joulefront(monkeypatch, "devices", "calibrate", "pi5", "--against", OTHER) == 3
    assert "not kept    the ratio is 1.3" in capsys.readouterr().out


def test_a_file_of_the_user_s_own_is_left_as_it_is(tmp_path, session):
    mine = tmp_path / "elsewhere.toml"
    mine.write_text(FILE)
    document = calibrate(str(mine), OTHER, Silent(), window_s=10.0, rounds=4)
    assert document["stored"] is False
    assert "is your own file" in document["reason"]
    assert mine.read_text() == FILE
    table = tables.calibrated(document).rpartition("[calibration]")[2]
    assert tomllib.loads("\n".join(line.strip() for line in table.splitlines())) == document["calibration"]


def test_a_factor_is_forgotten(file, session, monkeypatch, capsys):
    run()
    assert joulefront(monkeypatch, "devices", "calibrate", "pi5", "--forget") == 0
    assert f"joules of {OWN} on pi5 are no longer multiplied by 1.05" in capsys.readouterr().out
    assert "calibration" not in tomllib.loads(file.read_text())
    with pytest.raises(ConfigError, match="no calibration to forget"):
        forget("pi5")


def test_a_host_meter_is_compared_with_the_device_s_own(session, host):
    document = run("joulescope")
    assert host == [("joulescope", "--against")]
    assert (document["meter"], document["against"]) == (OWN, "joulescope:js220/1")
    assert document["against_covers"] == "behind the plug"
    assert document["factor"]["value"] == pytest.approx(1.1)
    assert {watch.meters for watch in session.asked} == {(OWN,)}
    assert Outside.closed


def test_a_host_meter_may_be_described_in_a_file(tmp_path, session, host):
    described = tmp_path / "scope.toml"
    described.write_text('[meter]\nkind = "joulescope"\ndevice = "u/js220/1"\n')
    assert run(str(described))["against"] == "joulescope:js220/1"


def test_the_meter_of_the_file_may_be_the_host_s(file, session, host):
    file.write_text('name = "pi5"\n[meter]\nkind = "joulescope"\n')
    session.facts["sensor"] = None
    document = run()
    assert host == [("joulescope", "device pi5: [meter]")]
    assert (document["meter"], document["against"]) == ("joulescope:js220/1", OTHER)
    assert document["factor"]["value"] == pytest.approx(1 / 1.1)
    with pytest.raises(ConfigError, match="both meters are on this host"):
        run("cpu-model")


def test_an_estimate_is_nothing_to_hold_on_to(session, host, monkeypatch):
    monkeypatch.setattr(Outside, "provenance", "estimated")
    with pytest.raises(ConfigError, match="its joules are estimated"):
        run("cpu-model")


@pytest.mark.parametrize("against", ["auto", "none"])
def test_a_word_that_names_no_one_meter_is_refused(session, against):
    with pytest.raises(ConfigError, match="expected one meter by its name"):
        run(against)


def test_a_meter_is_not_compared_with_itself(session):
    with pytest.raises(ConfigError, match="the device's own meter"):
        run(OWN)


def test_a_device_without_a_meter_says_why(session):
    session.facts["sensor"] = None
    with pytest.raises(ConfigError, match="no meter to calibrate: no sensor"):
        run()


def test_a_sensor_that_fails_is_the_meter_s_fault(monkeypatch, session):
    session._fails = wire.Failure("MeterError", "it cannot be read")
    with pytest.raises(MeterError, match=r"hwmon:ina226: it cannot be read"):
        run()


def test_a_meter_that_tells_nothing_is_no_zero(session):
    session.true[OTHER] = (0.0, 0.0)
    with pytest.raises(MeterError, match=r"told 0 J over 10 s .*--window"):
        run()


@pytest.mark.parametrize("arguments", [[], ["--against", OTHER, "--forget"]])
def test_either_a_meter_or_forgetting_is_asked_for(monkeypatch, capsys, arguments):
    assert joulefront(monkeypatch, "devices", "calibrate", "pi5", *arguments) == 2
    assert "either --against METER or --forget" in capsys.readouterr().err
