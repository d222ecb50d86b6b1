"""RAPL, from a tree of files whose counters move as the test wants."""

import pytest
from fake_machine import Ticking, write, zone
from fake_sensors import close

from joulefront_agent import sensors
from joulefront_agent.sensors import rapl
from joulefront_agent.wire import Failure


def test_packages_are_counted_once_and_their_parts_not_at_all(tmp_path):
    tree = {
        **zone("intel-rapl:0", "package-0"),
        **zone("intel-rapl:0:0", "core"),
        **zone("intel-rapl:0:1", "dram"),
        **zone("intel-rapl:1", "package-1"),
        **zone("intel-rapl:2", "psys"),
        **zone("intel-rapl-mmio:0", "package-0"),
    }
    sensor, reason = sensors.find(write(tmp_path, tree), "auto")
    assert reason is None
    assert sensor.name == "rapl"
    assert sensor.covers == "processor packages: package-0, package-1"


@pytest.mark.parametrize("tree", [{}, zone("intel-rapl:0", "psys")])
def test_no_sensor_has_a_reason(tmp_path, tree):
    sensor, reason = sensors.find(write(tmp_path, tree), "auto")
    assert sensor is None
    assert "no RAPL package zone" in reason


@pytest.mark.parametrize("closed", ["energy_uj", "max_energy_range_uj"])
def test_a_counter_for_root_only_has_a_reason_and_a_remedy(tmp_path, monkeypatch, closed):
    root = write(tmp_path, zone("intel-rapl:0", "package-0"))
    close(monkeypatch, root / "sys/class/powercap/intel-rapl:0" / closed)
    sensor, reason = sensors.find(root, "auto")
    assert sensor is None
    assert "root only since 2020" in reason
    assert 'RUN+="/bin/chmod a+r /sys%p/energy_uj /sys%p/max_energy_range_uj"' in reason
    assert "| sudo tee /etc/udev/rules.d/99-joulefront-intel-rapl.rules" in reason


@pytest.mark.parametrize("broken", ["energy_uj", "max_energy_range_uj"])
def test_a_counter_that_is_no_number_has_a_reason(tmp_path, broken):
    tree = {**zone("intel-rapl:0", "package-0"), f"sys/class/powercap/intel-rapl:0/{broken}": "n/a"}
    sensor, reason = sensors.find(write(tmp_path, tree), "auto")
    assert sensor is None
    assert "cannot be read" in reason


def counting(root, power_w, *, start_uj=1_000_000, range_uj=262_143_328_850):
    write(root, zone("intel-rapl:0", "package-0", start_uj, range_uj))
    folder = root / "sys/class/powercap/intel-rapl:0"
    clock = Ticking(folder / "energy_uj", power_w, range_uj)
    return rapl.Rapl([folder], clock), clock


def test_a_window_is_the_difference_of_the_counter(tmp_path):
    sensor, clock = counting(tmp_path, 50.0)
    sensor.start()
    clock.advance(2.0)
    reading = sensor.stop()
    assert reading.window_s == pytest.approx(2.0, abs=0.002)
    assert reading.energy_j == pytest.approx(50.0 * 2.0, rel=1e-3)
    assert reading.resolution_j == 1e-6
    assert reading.period_s == pytest.approx(1e-3, abs=1.1e-3)


def test_a_counter_that_wraps_in_the_window_is_repaired(tmp_path):
    range_uj = 65_532_610_987
    sensor, clock = counting(tmp_path, 20.0, start_uj=range_uj - 10_000_000, range_uj=range_uj)
    sensor.start()
    clock.advance(2.0)
    assert sensor.stop().energy_j == pytest.approx(40.0, rel=2e-3)


def test_a_counter_that_may_have_wrapped_twice_is_an_error(tmp_path):
    sensor, clock = counting(tmp_path, 20.0, range_uj=1_000_000_000)  # 1000 J: a second at 1000 W
    sensor.start()
    clock.advance(2.0)
    with pytest.raises(Failure, match="wrap more than once") as caught:
        sensor.stop()
    assert caught.value.kind == "MeterError"


def test_a_counter_that_stands_still_is_an_error_and_not_zero(tmp_path):
    sensor, clock = counting(tmp_path, 0.0)
    with pytest.raises(Failure, match="stuck") as caught:
        sensor.start()
    assert caught.value.kind == "MeterError"
    clock.power_w = 10.0
    sensor.start()
    clock.path.write_text(str(sensor._start_uj[0]))
    with pytest.raises(Failure, match="stood still"):
        sensor.stop()


def test_a_counter_that_vanishes_is_an_error(tmp_path):
    sensor, clock = counting(tmp_path, 10.0)
    sensor.start()
    clock.path.unlink()
    with pytest.raises(Failure, match="RAPL cannot be read"):
        sensor.stop()
