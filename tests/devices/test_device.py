"""Devices: registered ones, files of a user's own, what a profile adds, and what is said about a wrong one."""

import re
from pathlib import Path

import pytest

from joulefront.config import parse
from joulefront.errors import ConfigError
from joulefront_devices import Device, Profile, load
from joulefront_devices.device import SettleTable

BOARD = """
name = "my-board"
description = "On the shelf"
meter = "none"
pin_threads = false

[transport]
kind = "reach.py:Reach"
port = 7

[target]
triple = "aarch64-linux-gnu"
cpu = "cortex-a72"
features = ["+neon"]
vector_floats = 4
vector_registers = 32

[settle]
busy = 0.5
time_s = 1
"""


@pytest.fixture(autouse=True)
def registered(tmp_path, monkeypatch):
    """The folder of the registered devices; empty."""
    folder = tmp_path / "registered"
    folder.mkdir()
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(folder))
    return folder


def test_the_local_device_needs_no_settings():
    device = load("local")
    assert (device.name, device.profile, device.transport.kind) == ("local", "local", "local")
    assert device.target is None
    assert device.meter == "auto"


@pytest.mark.parametrize("named", ["board.toml", "absolute"])
def test_a_file_of_the_users_own(tmp_path, named):
    (tmp_path / "board.toml").write_text(BOARD)
    device = load(str(tmp_path / "board.toml") if named == "absolute" else named, folder=tmp_path)
    assert (device.name, device.target.cpu, device.settle.busy, device.meter) == ("my-board", "cortex-a72", 0.5, "none")
    # The transport's own file lies beside the device's.
    assert device.transport.kind == f"{tmp_path / 'reach.py'}:Reach"
    assert device.transport.arguments == {"port": 7}


def test_a_registered_device_is_found_by_its_name(registered):
    (registered / "pi5.toml").write_text(
        'name = "pi5"\nprofile = "raspberry-pi-5"\n[transport]\nkind = "ssh"\nhost = "x"'
    )
    device = load("pi5")
    assert device.transport.arguments == {"host": "x"}
    assert device.target.cpu == "cortex-a76"


def test_this_machine_may_have_settings_too(registered):
    (registered / "local.toml").write_text('name = "local"\nmeter = "none"')
    assert load("local").meter == "none"


def test_what_a_file_sets_goes_before_its_profile(registered, monkeypatch):
    board = Profile(
        name="board", meter="none", pin_threads=False, settle=SettleTable(busy=0.5, time_s=9.0), description="A board"
    )
    monkeypatch.setattr("joulefront_devices.device.profile", lambda name: board)
    (registered / "plain.toml").write_text('name = "plain"\nprofile = "board"')
    device = load("plain")
    assert (device.meter, device.pin_threads, device.description) == ("none", False, "A board")
    assert device.settle == SettleTable(busy=0.5, time_s=9.0)
    (registered / "own.toml").write_text(
        'name = "own"\nprofile = "board"\nmeter = "auto"\npin_threads = true\n[settle]\ntime_s = 1.0'
    )
    device = load("own")
    assert (device.meter, device.pin_threads) == ("auto", True)
    assert device.settle == SettleTable(busy=0.5, time_s=1.0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lokal", r"'lokal': not registered in .*did you mean 'local'\?.*devices list"),
        ("pi6", r"did you mean 'pi5'\?"),
        (
            "raspberry-pi-5",
            "is a profile.*register yours: joulefront devices add NAME user@host --profile raspberry-pi-5",
        ),
        ("../x", "not registered"),
    ],
)
def test_an_unknown_device_names_the_nearest(registered, name, said):
    (registered / "pi5.toml").write_text("")
    with pytest.raises(ConfigError, match=said):
        load(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 5", "pi5.toml: name: "),
        ('name = "pi4"', "pi5.toml: name: expected 'pi5', as the file is called, not 'pi4'"),
        ('name = "pi5"\nprofile = "raspberry-pi-6"', "pi5.toml: profile 'raspberry-pi-6': there is none; did you mean"),
        ("name = ", "pi5.toml: not valid TOML"),
    ],
)
def test_a_broken_file_is_named_with_the_key(registered, text, said):
    (registered / "pi5.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load("pi5")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('nam = "x"', "nam: unknown key; did you mean 'name'"),
        ('name = "../x"', "name: "),
        (
            'name = "x"\nmeter = "fluke"',
            "iio, iio:RAIL, pmic, nvml, nvml:INDEX or supply:NAME, not 'fluke'",
        ),
        ('name = "x"\nmeter = "hwmno:ina3221"', "did you mean 'hwmon'?, not 'hwmno:ina3221'"),
        ('name = "x"\nmeter = "hwmon:"', "meter: expected"),
        ('name = "x"\nmeter = 5', "meter: expected a valid string, not 5"),
        ('name = "x"\n[meter]\nfs = 1', "meter.kind: missing"),
        ('name = "x"\n[meter]\nkind = ""', "meter.kind: "),
        ('name = "x"\n[calibration]\nfactor = 0.0', "calibration.factor: expected"),
        ('name = "x"\n[facts]\na = [1]', "facts.a: expected a valid boolean or"),
        (
            'name = "x"\n[checked]\nat = "now"\nstatus = "fine"',
            "checked.status: expected 'ready', 'incomplete' or 'failing'",
        ),
        ('name = "x"\n[target]\ntriple = "a"', "target.cpu: missing"),
        (
            'name = "x"\n[target]\ntriple = "a"\ncpu = "b"\nvector_registers = 1\nvector_floats = 3',
            "target.vector_floats: expected 1, 2, 4, 8, 16, 32 or 64, not 3",
        ),
        (
            'name = "x"\n[target]\ntriple = "a"\ncpu = "b"\nvector_registers = 1\nvector_floats = 4\nl2_b = 512',
            "target.l2_b: ",
        ),
        ('name = "x"\n[settle]\nbusy = 2', "settle.busy: "),
        ('name = "x"\n[transport]\nport = 1', "transport.kind: missing"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_named_with_the_key(tmp_path, line, said):
    path = tmp_path / "wrong.toml"
    path.write_text(line)
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_the_schema_describes_what_a_file_may_hold():
    assert set(Device.model_json_schema()["properties"]) == {
        "name", "description", "transport", "target", "meter", "pin_threads", "settle", "profile", "facts", "checked",
        "calibration", "governor", "mark",
    }  # fmt: skip


def test_the_schema_says_that_a_meter_is_a_name_or_a_table():
    meter = Device.model_json_schema()["properties"]["meter"]
    assert [{"type", "pattern"} <= set(one) or one.get("$ref") for one in meter["oneOf"]] == [True, "#/$defs/Plugin"]


def test_a_profile_is_package_data():
    import joulefront_devices

    assert (Path(joulefront_devices.__file__).parent / "profiles" / "local.toml").is_file()


@pytest.mark.parametrize(
    "meter",
    [
        *("auto", "none", "rapl", "hwmon", "hwmon:ina226", "hwmon:ina3221@1-0040/VDD_IN"),
        *("iio", "iio:VDD_IN", "iio:7-0040/0", "pmic", "nvml", "nvml:1", "supply:BAT0"),
    ],
)
def test_the_meters_that_may_be_named(meter):
    assert Device(name="x", meter=meter).meter == meter


def test_a_table_names_a_meter_on_the_host(tmp_path):
    (tmp_path / "board.toml").write_text('name = "b"\n[meter]\nkind = "joulescope"\ndevice = "u/js220/000123"')
    device = load(str(tmp_path / "board.toml"))
    assert (device.meter.kind, device.meter.arguments) == ("joulescope", {"device": "u/js220/000123"})
    assert device.sensor == "none"


def test_a_meter_of_the_users_own_lies_beside_the_devices_file(tmp_path):
    (tmp_path / "board.toml").write_text('name = "b"\n[meter]\nkind = "mine.py:Mine"\nport = 3')
    meter = load(str(tmp_path / "board.toml")).meter
    assert (meter.kind, meter.arguments) == (f"{tmp_path / 'mine.py'}:Mine", {"port": 3})


def test_the_files_in_the_readme_are_valid():
    readme = Path(__file__).parents[2] / "devices" / "README.md"
    device, target, meter, profile = re.findall(
        r"```toml\n(.*?)```", readme.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert parse(f"{device}\n{target}", Device, source="device").target.cpu == "cortex-a76"
    assert parse(f'name = "any"\n{meter}', Device, source="device").meter.kind == "joulescope"
    assert parse(profile, Profile, source="profile").architecture == "aarch64"
