"""A Joulescope that is opened: what is there, what is not, what is described wrongly; and one beside a busy host."""

import sys
import time

import pytest
from test_bench_joulescope import opened

from joulefront.errors import ConfigError, MeterError
from joulefront.records import Stretch
from joulescopes import Instrument, Plugged, Streaming


def test_without_hardware_the_makers_own_driver_says_so():
    """The real driver, which the extra installs: no Joulescope is on this machine."""
    pytest.importorskip("pyjoulescope_driver", reason="dev installs it")
    with pytest.raises(MeterError, match=r"no Joulescope is there\. Plug it in; on Linux, its udev rule"):
        opened()


def test_a_driver_that_is_not_installed_says_how(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", None)
    with pytest.raises(ConfigError, match=r"\[meter\] .*pip install 'joulefront\[joulescope\]'"):
        opened()


def test_of_several_one_is_named(plug):
    plugged = plug(Instrument("u/js220/000123"), Instrument("u/js110/7"))
    with pytest.raises(MeterError, match=r"several .*: u/js110/7, u/js220/000123\. Name one .*device = 'u/js110/7'"):
        opened()
    assert opened(device="u/js110/7").name == "joulescope:u/js110/7"
    with pytest.raises(MeterError, match=r"'u/js220/9' is not there \(seen: u/js110/7, u/js220/000123\)"):
        opened(device="u/js220/9")
    assert plugged.finalized == 2  # whoever was not let in leaves nothing behind


@pytest.mark.parametrize("error", [TimeoutError("jsdrv_open timed out"), RuntimeError("jsdrv_open failed 21 IN_USE")])
def test_one_that_another_program_has(plug, error):
    one = Instrument()
    plugged = plug(one)
    one.refusal = error
    with pytest.raises(MeterError, match=r"cannot be opened \(jsdrv_open .*another program such as the Joulescope UI"):
        opened()
    assert plugged.finalized == 1


def test_one_that_waits_for_its_firmware(plug):
    plug(Instrument("u/js110/1"))
    plugged = Plugged(Instrument("u/js110/1"))
    plugged.instruments = {"u/&js220/000123": Instrument("u/js220/000123")}
    sys.modules["pyjoulescope_driver"].Driver = plugged.driver.Driver
    with pytest.raises(MeterError, match="firmware waits to be updated"):
        opened()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fs": 10}, "fs: expected 1000 to 1000000"),
        ({"gpi": 0, "mode": "statistics"}, 'needs mode = "stream"'),
        ({"gpi": 7}, "has inputs 0 to 3, not 7"),
        ({"mode": "fast"}, "mode: expected 'stream' or 'statistics'"),
        ({"serial": "1"}, "serial: unknown key"),
    ],
)
def test_a_wrong_argument_is_named_with_its_table(plug, arguments, said):
    plug(Instrument())
    with pytest.raises(ConfigError, match=rf"device board: \[meter\] .*{said}"):
        opened(**arguments)


def test_a_rate_that_the_instrument_does_not_have_is_its_error(plug):
    plug(Instrument("u/js320/1"))
    with pytest.raises(MeterError, match=r"does not take u/js320/1/h/fs: .*PARAMETER_INVALID"):
        opened(fs=500_000)


def test_letting_it_go_twice_does_no_harm(plug):
    plugged = plug(Instrument())
    meter = opened()
    meter.close()
    meter.close()
    assert not plugged.instruments["u/js220/000123"].opened


# A busy host


def test_while_the_host_trains_no_sample_is_lost(monkeypatch):
    """A megahertz of samples, in real time, past a queue of a second; torch has all cores meanwhile."""
    import torch

    now_s = time.time()
    one = Instrument("u/js220/000123")
    one.begun_s = now_s - 5
    one.fs = 1_000_000
    plugged = Plugged(one)
    monkeypatch.setitem(sys.modules, "pyjoulescope_driver", plugged.driver)
    meter = opened(fs=1_000_000)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3))
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    with Streaming(plugged, room_s=1.0) as streaming:
        meter.begin()
        begin_s = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
        steps = 0
        while time.clock_gettime(time.CLOCK_MONOTONIC_RAW) - begin_s < 1.5:
            loss = model(torch.randn(16, 3, 48, 48)).square().mean()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            steps += 1
        end_s = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
        meter.end()
    assert steps > 3
    assert (streaming.lost, streaming.published > 20) == (0, True)
    window = meter.energy(Stretch(begin_s, end_s, 0.0, steps, None, 4))
    assert window.energy_j == pytest.approx(2.0 * (end_s - begin_s), rel=1e-3)
