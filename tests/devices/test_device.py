"""Devices: the ready profiles, files of a user's own, and what is said about a wrong one."""

from pathlib import Path

import pytest

from joulefront.errors import ConfigError
from joulefront_devices import Device, load, profiles

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


def test_every_profile_loads_under_its_own_name():
    assert "local" in profiles()
    for name in profiles():
        assert load(name).name == name


def test_the_local_device_needs_no_settings():
    device = load("local")
    assert device.transport.kind == "local"
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


def test_an_unknown_profile_names_the_nearest_and_all():
    with pytest.raises(ConfigError, match=r"'lokal'.*did you mean 'local'\?.*profiles: .*local"):
        load("lokal")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('nam = "x"', "nam: unknown key; did you mean 'name'"),
        ('name = "../x"', "name: "),
        ('name = "x"\nmeter = "fluke"', "meter: expected 'auto' or 'none', not 'fluke'"),
        ('name = "x"\n[target]\ntriple = "a"', "target.cpu: missing"),
        (
            'name = "x"\n[target]\ntriple = "a"\ncpu = "b"\nvector_registers = 1\nvector_floats = 3',
            "target.vector_floats: expected 1, 2, 4, 8, 16, 32 or 64, not 3",
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
        "name", "description", "transport", "target", "meter", "pin_threads", "settle",
    }  # fmt: skip


def test_a_profile_is_package_data():
    import joulefront_devices

    assert (Path(joulefront_devices.__file__).parent / "profiles" / "local.toml").is_file()
