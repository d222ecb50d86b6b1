"""Clocks of a device and its host: their bounds hold the truth whatever the way between them does."""

import numpy as np
import pytest

from joulefront.bench.alignment import EVENNESS, LIMIT, Alignment, exchanged
from joulefront.errors import MeterError

UP_S = 31_536_000.123  # a device that has been up for a year


def exchanges(host_s, *, offset_s=UP_S, rate=1.0, there_s, back_s):
    """Exchanges begun at each of the host's times, by their true delays; the device's clock is offset + rate * host's."""
    asked = np.asarray(host_s, dtype=float)
    read = asked + there_s
    return list(zip(offset_s + rate * read, asked, read + back_s, strict=True))


def around(window_s=10.0, count=64):
    """When a host asks: before and after a window that lies from 1 s to 1 s + window_s."""
    return np.concatenate([np.linspace(0, 0.9, count), np.linspace(1.1 + window_s, 2 + window_s, count)])


@pytest.mark.parametrize("rate", [1.0, 1 + 40e-6, 1 - 9e-4])
def test_offset_and_drift_are_found_within_the_bounds_that_random_delays_leave(rate):
    rng = np.random.default_rng(1)
    host = around()
    alignment = Alignment(exchanges(host, rate=rate, there_s=1e-4 + rng.exponential(1e-3, host.size),
                                    back_s=1e-4 + rng.exponential(1e-3, host.size)))  # fmt: skip
    for truth_s in (0.0, 1.0, 6.0, 11.0, 13.0):
        time_s, edges_s = alignment.host_s(UP_S + rate * truth_s)
        assert abs(time_s - truth_s) <= edges_s
        # The quickest exchanges took 0.2 ms and a little, so that half of that is what remains.
        assert edges_s < 3e-4


@pytest.mark.parametrize(("there_s", "back_s"), [(5e-3, 1e-5), (1e-5, 5e-3)])
def test_a_way_that_takes_longer_one_way_stays_within_the_bounds(there_s, back_s):
    alignment = Alignment(exchanges(around(), there_s=there_s, back_s=back_s))
    time_s, edges_s = alignment.host_s(UP_S + 6)
    # The middle is wrong by half of the difference, and the bounds know that it may be.
    assert abs(time_s - 6) == pytest.approx(abs(there_s - back_s) / 2, rel=0.05)
    assert abs(time_s - 6) <= edges_s <= 1.1 * (there_s + back_s) / 2


def test_the_truth_is_within_the_bounds_of_many_ways():
    rng = np.random.default_rng(2)
    for _ in range(40):
        host, rate = np.sort(rng.uniform(0, 20, 12)), 1 + rng.uniform(-2e-4, 2e-4)
        delays = rng.exponential(rng.uniform(1e-5, 1e-2), (2, host.size))
        alignment = Alignment(exchanges(host, rate=rate, there_s=delays[0], back_s=delays[1]))
        for truth_s in rng.uniform(0, 20, 5):
            time_s, edges_s = alignment.host_s(UP_S + rate * truth_s)
            assert abs(time_s - truth_s) <= edges_s


def test_exchanges_at_both_ends_bound_the_drift_between():
    """With exchanges before alone, the end of a window is only known to within what rates may differ."""
    host = around()
    delays = {"there_s": 1e-4, "back_s": 1e-4}
    _, both_s = Alignment(exchanges(host, **delays)).host_s(UP_S + 11)
    _, before_s = Alignment(exchanges(host[:64], **delays)).host_s(UP_S + 11)
    assert both_s < 2e-4
    assert before_s > 5 * both_s
    assert before_s <= 1e-4 + 11 * LIMIT


@pytest.mark.parametrize("jump_s", [0.05, -0.05])
def test_a_clock_that_jumps_is_noticed(jump_s):
    host = around()
    made = exchanges(host, there_s=1e-4, back_s=1e-4)
    jumped = [(device + (jump_s if before > 5 else 0), before, after) for device, before, after in made]
    with pytest.raises(MeterError, match=r"do not run evenly: one of them jumped.*measure again"):
        Alignment(jumped)


def test_a_clock_that_stands_still_is_noticed():
    with pytest.raises(MeterError, match="stood still"):
        Alignment([(UP_S, at, at + 1e-4) for at in around()])


def test_a_clock_that_follows_the_temperature_a_little_is_within_the_bounds():
    host = around()
    stray = EVENNESS * 10 * np.sin(host)
    made = [(d + s, b, a) for (d, b, a), s in zip(exchanges(host, there_s=1e-6, back_s=1e-6), stray, strict=True)]
    time_s, edges_s = Alignment(made).host_s(UP_S + 6)
    assert abs(time_s - 6) <= edges_s


def test_one_exchange_is_enough_for_the_moment_itself():
    time_s, edges_s = Alignment([(UP_S, 5.0, 5.002)]).host_s(UP_S)
    assert time_s == pytest.approx(5.001)
    assert edges_s == pytest.approx(1e-3, rel=1e-3)


def test_exchanges_are_many_on_a_quick_way_and_few_on_a_slow_one(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("joulefront.bench.alignment.clock_gettime", lambda clock: now[0])

    def asking(seconds):
        def ask():
            now[0] += seconds
            return (0.0, 0.0, 0.0)

        return ask

    assert len(exchanged(asking(1e-3))) == 64
    assert len(exchanged(asking(0.5))) == 4
    assert len(exchanged(asking(60.0))) == 1
