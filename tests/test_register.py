"""Devices are added, checked, changed and removed: what their files say afterwards, and what is refused."""

import json
import tomllib
from contextlib import closing

import pytest

from command_line import joulefront
from joulefront import register, self_test
from joulefront.bench.session import Session
from joulefront.bench.ssh import SshTransport
from joulefront.bench.ssh_config import Destination
from joulefront.errors import BenchError, ConfigError, DeviceBusy, TransportError
from joulefront.kernel_records import Variant, Workload
from joulefront.records import Estimate, Measurement, Target
from joulefront.registered import listing, show
from joulefront.report import devices as tables
from joulefront.self_test import Finding, Verdict
from joulefront.tuning.database import Choice, Database
from joulefront_devices import Device, load, registry
from simulated import Silent
from ssh_server import SshServer

BOARD = {
    "architecture": "aarch64",
    "features": "fp asimd",
    "cpu_parts": "0x41:0xd08",
    "cores": 4,
    "memory_b": 2**30,
    "model": "Raspberry Pi 4 Model B Rev 1.4",
    "sensor": None,
    "sensors": "",
}
THERE = Destination("pi.local", "pi", 2222, host_key="ssh-ed25519 AAAA")
MEASURED = Measurement(
    grade="screening",
    provenance="simulated",
    latency_s=Estimate(1e-3, 0.9e-3, 1.1e-3),
    repeats_s=((1e-3,) * 5,) * 3,
    energy_j=None,
    energy_provenance=None,
    energy_reason="no energy sensor: scripted",
    conditions={"before": {}, "after": {}},
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(tmp_path / "devices"))
    return tmp_path / "devices"


@pytest.fixture
def board(monkeypatch):
    """A board that is there in words only: its facts, and the verdict of its self-test."""
    verdict = Verdict([Finding("connection", "good", "there")], {**BOARD}, MEASURED)
    monkeypatch.setattr(register, "_facts_of", lambda device: verdict.facts)
    monkeypatch.setattr(register, "self_test", lambda device, listener: verdict)
    return verdict


def add(name="pi4", **given):
    return register.add(name, THERE, given, Silent())


def test_a_new_device_has_what_was_read_and_how_it_went(folder, board):
    document = add(meter="none", description="On the desk", python="/usr/bin/python3.11")
    assert tomllib.loads((folder / "pi4.toml").read_text()) == {
        "name": "pi4",
        "description": "On the desk",
        "profile": "raspberry-pi-4",
        "meter": "none",
        "transport": {
            "kind": "ssh",
            "host": "pi.local",
            "user": "pi",
            "port": 2222,
            "host_key": "ssh-ed25519 AAAA",
            "python": "/usr/bin/python3.11",
        },
        "facts": {key: value for key, value in BOARD.items() if value is not None},
        "checked": {"at": load("pi4").checked.at, "status": "ready"},
    }
    assert set(document) == {
        "device", "status", "findings", "latency_s", "energy_j", "provenance", "notes", "facts",
    }  # fmt: skip
    assert document["findings"] == [{"what": "connection", "state": "good", "detail": "there", "fix": None}]
    assert document["latency_s"] == {"median": 1e-3, "interval": [0.9e-3, 1.1e-3], "indicative": None}
    assert document["energy_j"] is None
    assert document["provenance"] == {"latency_s": "simulated", "energy_j": None}
    json.dumps(document, allow_nan=False)


def test_a_device_whose_self_test_fails_is_kept_as_failing(folder, board):
    board.add("network", "bad", "wrong outputs")
    board.facts = {**BOARD}
    assert add()["status"] == "failing"
    assert load("pi4").checked.status == "failing"


def test_what_cannot_be_reached_is_not_registered(folder, board, monkeypatch):
    def lost(device):
        raise TransportError("nobody answers")

    monkeypatch.setattr(register, "_facts_of", lost)
    with pytest.raises(TransportError):
        add()
    assert registry.names() == ()


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("pi4", {}, "is registered already.*devices edit pi4.*devices remove pi4"),
        ("local", {}, "that is this machine"),
        ("../x", {}, "expected a name"),
        ("new", {"meter": "fluke"}, "device 'new': meter: expected auto"),
        ("new", {"profile": "raspberry-pi"}, "profile 'raspberry-pi': there is none; did you mean"),
    ],
)
def test_what_cannot_be_added_is_refused_before_anything_is_done(board, monkeypatch, name, given, said):
    add()
    monkeypatch.setattr(register, "_facts_of", None)
    with pytest.raises(ConfigError, match=said):
        add(name, **given)
    with pytest.raises(ConfigError, match=said):
        register.draft(name, given)


@pytest.mark.parametrize(
    ("given", "facts", "expected"),
    [
        (None, {}, "raspberry-pi-4"),
        (None, {"model": None}, "generic-aarch64"),
        (None, {"architecture": "riscv64"}, None),
        ("raspberry-pi-4", {"model": "HIL simulated board (QEMU virt)"}, "raspberry-pi-4"),
        ("generic-aarch64", {}, "generic-aarch64"),
        ("raspberry-pi-5", {"cpu_parts": "0x41:0xfff"}, "raspberry-pi-5"),
    ],
)
def test_the_profile_is_the_given_one_or_what_the_board_is(given, facts, expected):
    assert register.fitting_profile(given, {**BOARD, **facts}) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "raspberry-pi-5",
            "it is for cortex-a76, and the device has cortex-a72; the profile that fits is 'raspberry-pi-4'",
        ),
        ("generic-x86_64", "it is for x86_64, and the device is aarch64; the profile that fits is 'raspberry-pi-4'"),
    ],
)
def test_a_profile_of_another_board_is_refused_with_the_right_name(given, said):
    with pytest.raises(ConfigError, match=said):
        register.fitting_profile(given, BOARD)


def test_a_check_replaces_what_was_known(folder, board):
    add()
    (folder / "pi4.toml").write_text("# mine\n" + (folder / "pi4.toml").read_text())
    board.facts = {"architecture": "aarch64", "cores": 2}
    board.add("governor", "missing", "schedutil", "fix it")
    assert register.check("pi4", Silent())["status"] == "incomplete"
    device = load("pi4")
    assert (device.facts, device.checked.status) == ({"architecture": "aarch64", "cores": 2}, "incomplete")
    assert (folder / "pi4.toml").read_text().startswith("# mine\n")


def test_a_check_that_does_not_reach_the_device_keeps_its_facts(board):
    add()
    known = load("pi4").facts
    board.facts, board.measurement = {}, None
    board.add("connection", "bad", "nobody answers")
    assert register.check("pi4", Silent())["latency_s"] is None
    assert (load("pi4").facts, load("pi4").checked.status) == (known, "failing")


def test_this_machine_can_be_checked_and_forgotten(folder, board):
    register.check("local", Silent())
    assert load("local").checked.status == "ready"
    assert register.remove("local", keep_files=False)["files"] == "none"
    with pytest.raises(ConfigError, match="nothing is registered of it"):
        register.remove("local", keep_files=False)


def test_a_file_of_the_users_own_is_checked_and_left_alone(tmp_path, board):
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"')
    assert register.check(str(file), Silent())["status"] == "ready"
    assert file.read_text() == 'name = "mine"'
    assert registry.names() == ()


def test_changes_make_a_check_out_of_date(folder, board):
    add()
    assert register.edit("pi4", {"description": "Mine"}, None, None)["status"] == "ready"
    where = Destination("10.0.0.5")
    document = register.edit("pi4", {"meter": "hwmon:ina226", "key": "/k"}, where, None)
    assert (document["status"], document["host"], document["meters"]) == ("unchecked", "10.0.0.5", ["hwmon:ina226"])
    assert load("pi4").transport.arguments == {"host": "10.0.0.5", "host_key": "ssh-ed25519 AAAA", "key": "/k"}


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("pi4", {}, "nothing to change was given"),
        ("pi4", {"meter": "fluke"}, "meter: expected auto"),
        ("pi4", {"profile": "raspberry-pi-5"}, "the device has cortex-a72"),
        ("local", {"key": "/k"}, "not reached over SSH"),
        ("pi5", {"meter": "none"}, "did you mean 'pi4'"),
    ],
)
def test_changes_that_make_no_sense_change_nothing(folder, board, name, given, said):
    add()
    before = (folder / "pi4.toml").read_text()
    with pytest.raises(ConfigError, match=said):
        register.edit(name, given, None, None)
    assert (folder / "pi4.toml").read_text() == before
    assert registry.names() == ("pi4",)


def test_a_meter_that_the_device_does_not_have_is_refused(folder, board):
    board.facts = {**BOARD, "sensors": "hwmon:ina226, hwmon:ina3221/1"}
    add()
    with pytest.raises(ConfigError, match=r"no meter 'hwmon:ina3221/VDD_IN'; did you mean 'hwmon:ina3221/1'\?"):
        register.edit("pi4", {"meter": "hwmon:ina3221/VDD_IN"}, None, None)
    for meter in ("hwmon:ina3221/1", "hwmon:ina226", "supply:BAT0", "nvml:0"):  # the last two may come
        assert register.edit("pi4", {"meter": meter}, None, None)["meter"] == meter


def test_a_device_that_cannot_be_reached_is_forgotten_only_when_its_files_may_stay(board, monkeypatch):
    def lost(*_, **__):
        raise TransportError("nobody answers")

    add()
    monkeypatch.setattr("joulefront.bench.connection.Connection.open", lost)
    with pytest.raises(BenchError, match=r"nobody answers.*devices remove pi4 --keep-files"):
        register.remove("pi4", keep_files=False)
    assert registry.names() == ("pi4",)
    choice = Choice(Variant("dense", ()), 1e-3, 2e-3, "2026-11-22T10:00:00+00:00", "measured")
    Database.of("pi4").record(Target("", "", (), 4, 32), "kernels", Workload("dense", ()), choice)
    assert register.remove("pi4", keep_files=True)["files"] == "kept"
    assert list(registry.folder().iterdir()) == []


def test_a_device_that_a_session_measures_on_is_not_forgotten(server, monkeypatch):
    monkeypatch.setattr(register, "self_test", lambda device, listener: Verdict([], {**BOARD}))
    way = {("transport", "kind"): "ssh", **{("transport", key): value for key, value in server.arguments.items()}}
    registry.write(registry.file_of("here"), registry.changed('name = "here"\n', way))
    transport = SshTransport(**server.arguments)
    with closing(transport), Session(transport, "none") as session:
        with pytest.raises(DeviceBusy, match=r"'here' is in use: another session .* measures on it.*--keep-files"):
            register.remove("here", keep_files=False)
        assert registry.names() == ("here",)
        session.conditions()
    register.remove("here", keep_files=False)
    assert list((server.home / ".cache").iterdir()) == []


def test_a_device_that_is_removed_while_it_is_tested_stays_removed(folder, board, monkeypatch):
    def removed(device, listener):
        registry.remove(registry.file_of("pi4"))
        return board

    add()
    monkeypatch.setattr(register, "self_test", removed)
    with pytest.raises(ConfigError, match="device 'pi4' is gone: it was removed meanwhile"):
        register.check("pi4", Silent())
    assert list(folder.iterdir()) == []


def test_a_broken_file_is_listed_and_can_be_removed(folder, board):
    add()
    (folder / "bad.toml").write_text('name = "bad"\nmeter = 5')
    rows = {row["name"]: row for row in listing()}
    assert list(rows) == ["local", "bad", "pi4"]
    assert rows["bad"]["status"] == "broken"
    assert "bad.toml: meter: " in rows["bad"]["problem"]
    assert rows["pi4"] == {
        "name": "pi4",
        "profile": "raspberry-pi-4",
        "transport": "ssh",
        "host": "pi.local",
        "target": "cortex-a72",
        "meters": [],
        "status": "ready",
        "problem": None,
    }
    with pytest.raises(ConfigError, match="--keep-files"):
        register.remove("bad", keep_files=False)
    register.remove("bad", keep_files=True)
    assert [row["name"] for row in listing()] == ["local", "pi4"]


def test_a_device_is_shown_with_what_one_should_know(board):
    board.facts = {**BOARD, "sensors": "hwmon:a, hwmon:b"}
    add()
    document = show("pi4")
    assert document["meters"] == ["hwmon:a", "hwmon:b"]
    assert any("no power sensor" in note for note in document["notes"])
    assert "no power sensor" in tables.device(document)


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = SshServer(tmp_path / "server")
    yield server
    server.close()


def test_a_device_from_add_to_remove(server, folder, monkeypatch, capsys):
    """Over real SSH, with the real agent, shipped to a home folder on this machine."""
    where, key = f"pi@127.0.0.1:{server.port}", str(server.key)
    accept = ["--accept-host-key", server.host_key.fingerprint]
    assert joulefront(monkeypatch, "devices", "add", "here", where, "--key", key, *accept, "--json") == 0
    added = json.loads(capsys.readouterr().out)
    assert added["status"] in ("ready", "incomplete")
    assert added["provenance"]["latency_s"] == "measured"
    assert {finding["what"] for finding in added["findings"]} >= {
        "connection",
        "processor",
        "compiler",
        "network",
        "meter",
    }
    assert all(finding["fix"] for finding in added["findings"] if finding["state"] == "missing")

    assert joulefront(monkeypatch, "devices", "list", "--json") == 0
    (_, row) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["status"], row["host"]) == ("here", added["status"], "127.0.0.1")

    assert joulefront(monkeypatch, "devices", "edit", "here", "--meter", "none", *accept) == 0
    assert "next: joulefront devices check here" in capsys.readouterr().err
    capsys.readouterr()
    assert joulefront(monkeypatch, "devices", "edit", "here", "--host", "pi@127.0.0.1:1") == 0
    assert joulefront(monkeypatch, "devices", "check", "here") == 3
    assert "BAD      connection" in capsys.readouterr().out
    assert joulefront(monkeypatch, "devices", "show", "here", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "failing"
    assert joulefront(monkeypatch, "devices", "remove", "here") == 3
    assert "to forget it and leave that there" in capsys.readouterr().err

    assert joulefront(monkeypatch, "devices", "edit", "here", "--host", where) == 0
    shipped = list(server.home.rglob("libtvm_runtime.so"))
    assert shipped
    assert joulefront(monkeypatch, "devices", "remove", "here") == 0
    assert "what was shipped to it is deleted" in capsys.readouterr().out
    assert not any(file.exists() for file in shipped)
    assert registry.names() == ()


def test_a_self_test_without_a_linker_names_the_fix(monkeypatch):
    def none(triple):
        raise ConfigError(f"no cross compiler for {triple}: install it")

    monkeypatch.setattr("joulefront.compile.link.linker", none)
    verdict = self_test.self_test(Device(name="here"), Silent())
    assert verdict.status == "failing"
    assert Finding("compiler", "bad", "no cross compiler for x86_64-linux-gnu", "install it") in verdict.findings


def test_findings_are_shown_with_their_fixes_and_without_broken_lines():
    fix = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor" * 3
    verdict = Verdict([Finding("governor", "missing", "schedutil", fix)], BOARD, MEASURED, ["It needs cooling."])
    shown = tables.checked(register.document("pi4", verdict))
    assert f"fix: {fix}" in shown
    assert "1 ms for the test's network (simulated)" in shown
    assert "It needs cooling." in shown
