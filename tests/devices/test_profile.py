"""Profiles: each loads, and is found by what a board says of itself."""

import pytest

from joulefront.errors import ConfigError
from joulefront_devices import profile, profiles
from joulefront_devices.profile import profile_of


def test_the_boards_that_are_known():
    assert set(profiles()) == {
        "generic-aarch64",
        "generic-x86_64",
        "jetson-agx-orin",
        "jetson-orin-nano",
        "local",
        "raspberry-pi-4",
        "raspberry-pi-5",
    }


@pytest.mark.parametrize("name", profiles())
def test_every_profile_loads_under_its_own_name(name):
    assert profile(name).name == name


def test_an_unknown_profile_names_the_nearest_and_all():
    with pytest.raises(ConfigError, match=r"'raspberry-pi5'.*did you mean 'raspberry-pi-5'\?.*profiles: .*local"):
        profile("raspberry-pi5")


@pytest.mark.parametrize(
    ("model", "architecture", "expected"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "aarch64", "raspberry-pi-4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "aarch64", "raspberry-pi-5"),
        ("Raspberry Pi 3 Model B", "aarch64", "generic-aarch64"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "aarch64", "jetson-agx-orin"),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "aarch64", "jetson-orin-nano"),
        ("NVIDIA Orin NX Developer Kit", "aarch64", "jetson-orin-nano"),
        (None, "aarch64", "generic-aarch64"),
        ("Dell Inc. XPS", "x86_64", "generic-x86_64"),
        ("Raspberry Pi 4 Model B Rev 1.4", "armv7l", None),
        (None, "riscv64", None),
    ],
)
def test_a_board_is_found_by_its_model(model, architecture, expected):
    found = profile_of(model, architecture)
    assert (found.name if found else None) == expected


def test_the_boards_second_level_of_cache_is_that_of_one_core():
    shares_b = {name: profile(name).target.l2_b for name in profiles() if profile(name).target}
    assert shares_b == {
        "raspberry-pi-4": (1 << 20) // 4,
        "raspberry-pi-5": 512 << 10,
        "jetson-orin-nano": 256 << 10,
        "jetson-agx-orin": 256 << 10,
    }


def test_every_target_is_one_that_llvm_knows():
    from joulefront.compile.target import tvm_target
    from joulefront.records import Target

    for name in profiles():
        table = profile(name).target
        if table is not None:
            tvm_target(Target(**table.model_dump(exclude_none=True)))
