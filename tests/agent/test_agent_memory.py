"""The memory that a process came to hold: as a real kernel tells it, and where one does not."""

import platform
from pathlib import Path

import pytest
from fake_machine import write

from joulefront_agent.memory import Peak

STATUS = "Name:\tpython\nVmHWM:\t{}kB\nVmRSS:\t    2000 kB"


@pytest.mark.skipif(platform.system() != "Linux", reason="it is Linux that counts")
def test_what_was_held_counts_though_it_was_let_go():
    before = bytearray(64 << 20)
    del before  # an earlier peak is none of it
    peak = Peak(Path("/"))
    held = bytearray(b"x") * (32 << 20)
    del held
    added_b, reason = peak.added_b()
    assert reason is None
    assert 31 << 20 < added_b < 40 << 20


def test_it_is_the_peak_less_what_was_there(tmp_path):
    peak = Peak(write(tmp_path, {"proc/self/status": STATUS.format("    2000 ")}))
    assert (tmp_path / "proc/self/clear_refs").read_text() == "5"
    assert peak.added_b() == (0, None)
    write(tmp_path, {"proc/self/status": STATUS.format("    2500 ")})
    assert peak.added_b() == (500 * 1024, None)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "clear_refs"),
        ({"proc/self/status": "Name:\tpython"}, "has no VmRSS"),
        ({"proc/self/status": "VmRSS:\t2000 kB"}, "has no VmHWM"),
        ({"proc/self/status": "VmRSS:\tmuch"}, "invalid literal"),
        ({"proc/self/status": "VmRSS:"}, "has no VmRSS"),
    ],
)
def test_a_device_that_does_not_tell_is_a_reason(tmp_path, files, said):
    memory_b, reason = Peak(write(tmp_path, files)).added_b()
    assert memory_b is None
    assert reason.startswith("the device does not say how much memory a process held: ")
    assert said in reason
