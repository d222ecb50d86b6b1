"""A pin that is high while a window lasts."""

import os

import pytest

from joulefront_agent import child, mark, window
from joulefront_agent.wire import Failure
from joulefront_agent.wire_energy import Watch

LED = "/sys/class/leds/joulefront/brightness"


@pytest.fixture
def led(tmp_path):
    file = tmp_path / LED.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text("1\n")
    return file


def test_the_pin_is_high_while_the_window_lasts_and_low_before_and_after(tmp_path, led):
    seen = []
    with mark.pin(tmp_path, LED) as pin:
        seen.append(led.read_text())

        def work(left_s):
            now[0] += left_s
            seen.append(led.read_text())
            return 1

        now = [0.0]
        window.take(work, (), tmp_path, least_s=2.0, most_s=2.0, mark=pin, clock=lambda: now[0])
        seen.append(led.read_text())
    assert seen == ["0\n", "1\n", "1\n", "0\n"]


def test_it_is_low_again_whatever_happens(tmp_path, led):
    def fail():
        with mark.pin(tmp_path, LED) as pin:
            pin(True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert led.read_text() == "0\n"


def test_a_watch_marks_its_window(tmp_path, led, monkeypatch):
    told, pwrite = [], os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: told.append(data) or pwrite(file, data, at))
    child.watch(Watch((), 0, 0.0, 0, 0.0, 1.0, LED), tmp_path)
    assert told == [b"0\n", b"1\n", b"0\n", b"0\n"]


def test_without_a_pin_nothing_is_written(tmp_path, led):
    with mark.pin(tmp_path, "") as pin:
        pin(True)
    assert led.read_text() == "1\n"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/sys/class/leds/../../power/state",
        "/sys/class/leds/a/b/brightness",
        "/sys/class/gpio/export",
        LED + "\n",
    ],
)
def test_no_other_file_is_written_to(tmp_path, path):
    with pytest.raises(Failure, match="expected the file of an LED or a pin"), mark.pin(tmp_path, path):
        pass


def test_a_pin_that_is_not_there_says_so(tmp_path):
    path, said = "/sys/class/gpio/gpio17/value", r"marks windows, /sys/class/gpio/gpio17/value: No such file .*wiring"
    with pytest.raises(Failure, match=said) as caught, mark.pin(tmp_path, path):
        pass
    assert caught.value.kind == "MeterError"
