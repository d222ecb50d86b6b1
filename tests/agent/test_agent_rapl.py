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


@pytest.mark.parametrize("to_uj", [0, 5_000_000_000, 200_000_000_000])
def test_a_counter_that_is_set_anew_is_an_error_and_no_energy(tmp_path, to_uj):
    """Back, which is no wrap so far from its range's end, or forward by more than a processor can take."""
    sensor, clock = counting(tmp_path, 20.0, start_uj=100_000_000)
    sensor.start()
    clock.advance(2.0)
    clock.path.write_text(str(to_uj))
    with pytest.raises(Failure, match=r"went from 100\d* to \d+ in 2 s: it was set anew, or is broken") as caught:
        sensor.stop()
    assert caught.value.kind == "MeterError"


class Sockets:
    """A clock that moves the counters of two packages, of 50 W and 30 W."""

    def __init__(self, root, second_uj=1_000_000, range_uj=65_532_610_987):
        write(root, {**zone("intel-rapl:0", "package-0"), **zone("intel-rapl:1", "package-1", second_uj, range_uj)})
        self.zones = [root / f"sys/class/powercap/intel-rapl:{number}" for number in (0, 1)]
        self.first, self.second = (
            Ticking(folder / "energy_uj", power_w, range_uj)
            for folder, power_w in zip(self.zones, (50.0, 30.0), strict=True)
        )

    def __call__(self):
        self.second.advance(1e-3)
        return self.first()

    def measured(self, stuck=()):
        sensor = rapl.Rapl(self.zones, self)
        sensor.start()
        for socket in {self.first, self.second}.difference(stuck):
            socket.advance(2.0)
        self.first.now_s = self.second.now_s = max(self.first.now_s, self.second.now_s)
        for socket in stuck:
            socket.power_w = 0.0
            socket.path.write_text(str(sensor._start_uj[socket is self.second]))
        return sensor.stop()


def test_the_joules_of_two_sockets_are_summed(tmp_path):
    reading = Sockets(tmp_path).measured()
    assert reading.energy_j == pytest.approx((50.0 + 30.0) * reading.window_s, rel=2e-3)
    assert reading.window_s == pytest.approx(2.0, abs=0.01)
    assert reading.resolution_j == 2e-6
    looked = rapl.look(tmp_path).meters[0]
    before_j = looked.read()
    (tmp_path / "sys/class/powercap/intel-rapl:1/energy_uj").write_text("0")
    assert looked.read() == pytest.approx(before_j - 1.0 - 30.0 * 2.0, abs=0.5)


def test_one_of_two_sockets_that_wraps_is_repaired(tmp_path):
    range_uj = 65_532_610_987
    reading = Sockets(tmp_path, range_uj - 10_000_000, range_uj).measured()
    assert reading.energy_j == pytest.approx(80.0 * reading.window_s, rel=2e-3)


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_two_sockets_that_stands_still_is_an_error(tmp_path, which):
    sockets = Sockets(tmp_path)
    with pytest.raises(Failure, match=rf"intel-rapl:{which}/energy_uj stood still for 2 s: the counter is stuck"):
        sockets.measured(stuck=[(sockets.first, sockets.second)[which]])


def test_a_counter_that_vanishes_is_an_error(tmp_path):
    sensor, clock = counting(tmp_path, 10.0)
    sensor.start()
    clock.path.unlink()
    with pytest.raises(Failure, match="RAPL cannot be read"):
        sensor.stop()
