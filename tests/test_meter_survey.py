"""What could measure a device: its own sensors and the host's meters, each with what it covers, or why not and the fix."""

import json
import sys
from contextlib import contextmanager

import pytest

from command_line import joulefront
from joulefront import meter_survey as module
from joulefront.bench.meters.look import Seen
from joulefront.bench.meters.survey import HostMeter
from joulefront.bench.meters.survey import survey as host_meters
from joulefront.errors import AgentDied, MeterError
from joulefront.meter_survey import survey
from joulefront.records import EnergyWindow
from joulefront_agent import wire
from joulefront_agent.wire_energy import Found
from joulefront_devices.tables import METERS
from simulated import Silent

TOTAL = Found("hwmon:ina3221/VDD_IN", "module input VDD_IN", "power", True, 0.0066, 0.008, 2e-4, None, None)
PACKAGE = Found(
    "rapl", "processor packages", "counter", False, 1e-3, None, 1e-5, "only root may read it", "sudo chmod a+r X"
)
SCOPE = HostMeter(
    "joulescope:u/js220/1",
    "joulescope",
    "behind the plug",
    "measured",
    seen=Seen(unseen={"read_s": "it is not opened"}, doubt="slow"),
)
NO_SCOPE = HostMeter(
    "joulescope", "joulescope", "behind the plug", "measured", reason="none is there", fix="plug it in"
)
MODEL = HostMeter(
    "cpu-model", "cpu-model", "what its powers cover", "estimated", reason="it is given none", fix="write them"
)

MODELLED = 'name = "board"\n[meter]\nkind = "cpu-model"\nidle_w = 2.0\nbusy_w = 6.0\n'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(tmp_path))
    (tmp_path / "board.toml").write_text('name = "board"\n')
    return tmp_path


@pytest.fixture
def there(monkeypatch):
    """A device that is there in words only: its facts, its meters and the host's."""

    class Session:
        def __init__(self):
            self.facts = {"sensor": TOTAL.name, "sensor_reason": None}
            self.found = (TOTAL, PACKAGE)
            self.host = (NO_SCOPE, MODEL)

        def meters(self):
            return self.found

    session = Session()

    @contextmanager
    def opened(device):
        yield session

    monkeypatch.setattr(module, "opened", opened)
    monkeypatch.setattr(module, "host_meters", lambda: session.host)
    return session


def test_each_meter_is_a_row_with_all_that_is_known_of_it(there):
    document = survey("board", Silent())
    assert (document["device"], document["meter"], document["calibration"], document["reason"]) == (
        "board",
        "auto",
        None,
        None,
    )
    assert [row["name"] for row in document["meters"]] == [TOTAL.name, "rapl", "joulescope", "cpu-model"]
    assert document["meters"][0] == {
        "name": TOTAL.name,
        "place": "device",
        "covers": "module input VDD_IN",
        "kind": "power",
        "provenance": "measured",
        "used": True,
        "auto": True,
        "period_s": 0.0066,
        "resolution": 0.008,
        "resolution_unit": "W",
        "read_s": 2e-4,
        "unseen": {},
        "doubt": None,
        "reason": None,
        "fix": None,
    }
    assert document["meters"][1]["fix"] == "sudo chmod a+r X"
    assert [row["used"] for row in document["meters"]] == [True, False, False, False]


def test_people_read_fixes_that_they_can_copy(there, monkeypatch, capsys):
    long = "sudo " + "x" * 300
    there.found = (TOTAL, Found("pmic", "", "power", False, None, None, None, "\x1b[2Jno", long))
    assert joulefront(monkeypatch, "devices", "meters", "board") == 0
    shown = capsys.readouterr().out
    assert f"    fix: {long}\n" in shown
    assert "\x1b" not in shown
    assert f"{TOTAL.name}  (used, auto)\n    module input VDD_IN\n" in shown
    assert "power, measured, a new value every 6.6 ms, steps of 8 mW, a read takes 200 µs" in shown
    assert "cannot be used on this host: none is there\n    fix: plug it in" in shown
    assert joulefront(monkeypatch, "devices", "meters", "board", "--json") == 0
    assert json.loads(capsys.readouterr().out)["meters"][1]["fix"] == long


def test_an_agent_that_fails_at_it_is_one_message(there, monkeypatch, capsys):
    def fails():
        raise wire.Failure("AgentError", "out of files")

    there.meters = fails
    assert joulefront(monkeypatch, "devices", "meters", "board") == 3
    assert "device 'board' cannot tell what meters it has: out of files" in capsys.readouterr().err


def test_what_did_not_show_is_left_out_and_is_no_zero(there, monkeypatch, capsys):
    there.found = (Found("supply:bat", "a battery", "power", False, None, None, 3e-3, None, None),)
    assert joulefront(monkeypatch, "devices", "meters", "board") == 0
    shown = capsys.readouterr().out
    assert "    power, measured, a read takes 3 ms\n" in shown
    assert "    not known: how often it has a new value: its value changed too seldom while it was looked at\n" in shown
    assert "    not known: its steps: its value did not change while it was looked at" in shown
    row = survey("board", Silent())["meters"][0]
    assert (row["period_s"], row["resolution"], sorted(row["unseen"])) == (None, None, ["period_s", "resolution"])


def test_a_simulated_device_s_sensors_say_so(there):
    there.facts = {**there.facts, "simulated": "an emulator"}
    assert {row["provenance"] for row in survey("board", Silent())["meters"][:2]} == {"simulated"}


def test_a_device_without_a_meter_says_why(there, monkeypatch, capsys):
    there.facts, there.found = {"sensor": None, "sensor_reason": "no energy sensor: none"}, ()
    assert survey("board", Silent())["reason"] == "no energy sensor: none"
    joulefront(monkeypatch, "devices", "meters", "board")
    assert "none is used: no energy sensor: none" in capsys.readouterr().out


def test_a_joulescope_that_is_plugged_in_is_shown_beside_the_device_s_own(there, monkeypatch, capsys):
    there.host = (SCOPE, MODEL)
    rows = {row["name"]: row for row in survey("board", Silent())["meters"]}
    assert (rows[SCOPE.name]["place"], rows[SCOPE.name]["read_s"], rows[SCOPE.name]["reason"]) == ("host", None, None)
    assert (rows[SCOPE.name]["unseen"], rows[SCOPE.name]["doubt"]) == ({"read_s": "it is not opened"}, "slow")
    joulefront(monkeypatch, "devices", "meters", "board")
    assert "    warning: slow\n    not known: what a read takes: it is not opened\n" in capsys.readouterr().out
    assert rows["cpu-model"]["provenance"] == "estimated"


def test_the_host_meter_of_the_file_is_the_one_that_is_used_and_was_looked_at(there, folder, monkeypatch, capsys):
    window = EnergyWindow(3.0, 1.0, 0, 0.05, 0.01, None, 1e-4, 0.0)
    monkeypatch.setattr(module, "watched", lambda session, meter, watch: (watch, window))
    there.facts = {"sensor": None, "sensor_reason": "the meter is none"}
    (folder / "board.toml").write_text(MODELLED)
    document = survey("board", Silent())
    assert (document["meter"], document["reason"]) == ("cpu-model", None)
    (used,) = [row for row in document["meters"] if row["used"]]
    assert (used["kind"], used["provenance"], used["reason"]) == ("cpu-model", "estimated", None)
    assert (used["period_s"], used["resolution"], used["resolution_unit"]) == (0.01, 0.05, "J")
    joulefront(monkeypatch, "devices", "meters", "board")
    shown = capsys.readouterr().out
    assert "on this host, cpu-model, estimated, a new value every 10 ms, steps of 50 mJ" in shown
    assert "not known: what a read takes: nothing is asked: it is computed" in shown
    assert [row["kind"] for row in document["meters"]].count("cpu-model") == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MeterError("the cable was pulled"), "the cable was pulled"),
        (wire.Failure("AgentError", "no window"), "no window"),
        (OSError("I/O error"), "OSError: I/O error"),  # of a class of the user's
    ],
)
def test_a_host_meter_that_fails_in_a_window_says_so_and_what_to_do(there, folder, monkeypatch, error, reason):
    failing(monkeypatch, error)
    there.facts = {"sensor": None, "sensor_reason": "the meter is none"}
    (folder / "board.toml").write_text(MODELLED)
    (used,) = [row for row in survey("board", Silent())["meters"] if row["used"]]
    assert reason in used["reason"]
    assert (used["period_s"], used["resolution"], used["read_s"], used["unseen"]) == (None, None, None, {})
    assert used["fix"] == f"mend it or [meter] in {folder / 'board.toml'}, or choose another"


def test_a_device_that_is_lost_meanwhile_is_no_fault_of_its_meter(there, folder, monkeypatch):
    failing(monkeypatch, AgentDied("the agent is gone"))
    there.facts = {"sensor": None, "sensor_reason": "the meter is none"}
    (folder / "board.toml").write_text(MODELLED)
    with pytest.raises(AgentDied, match="the agent is gone"):
        survey("board", Silent())


def test_a_joulescope_that_cannot_be_had_is_told_with_the_fix_for_that(there, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", None)
    there.host = host_meters()
    there.facts = {"sensor": None, "sensor_reason": "the meter is none"}
    (folder / "board.toml").write_text('name = "board"\n[meter]\nkind = "joulescope"\n')
    (used,) = [row for row in survey("board", Silent())["meters"] if row["used"]]
    assert "not installed" in used["reason"]
    assert used["fix"] == "pip install 'joulefront[joulescope]'"


def failing(monkeypatch, error):
    def fails(session, meter, watch):
        raise error

    monkeypatch.setattr(module, "watched", fails)


def test_kinds_that_are_not_there_are_a_line_each(there, monkeypatch, capsys):
    why = "/sys/class/powercap has no RAPL package zone"
    there.facts = {"sensor": None, "sensor_reason": f"no energy sensor: {why}; and so on"}
    there.found = (Found("rapl", "", "power", False, None, None, None, why, None),)
    joulefront(monkeypatch, "devices", "meters", "board")
    shown = capsys.readouterr().out
    assert f"not there\n    rapl: {why}\n" in shown
    assert "none is used: no energy sensor: rapl is not there; and so on" in shown
    assert "To choose one" not in shown


def test_a_host_meter_that_is_described_wrongly_says_what_is_wrong(there, folder):
    (folder / "board.toml").write_text('name = "board"\n[meter]\nkind = "cpu-model"\nidle_w = 2.0\n')
    there.facts = {"sensor": None, "sensor_reason": "the meter is none"}
    (used,) = [row for row in survey("board", Silent())["meters"] if row["used"]]
    assert "busy_w: missing" in used["reason"]


def test_the_help_of_edit_names_every_kind_of_sensor(monkeypatch, capsys):
    assert joulefront(monkeypatch, "devices", "edit", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(kind in text for kind in METERS)
