"""What makes a repeat no measurement, and what doubtful: each rule at its boundary."""

from dataclasses import replace

import pytest
from scripted import CONDITIONS, RAN

from joulefront.bench import firmware
from joulefront.bench.validity import Verdict, is_steady, throttled, verdict
from joulefront_agent.wire_energy import Window

STEADY = {**CONDITIONS, "governor": "performance", "boost": 0, "frequency_hz": 1.5e9, "frequency_low_hz": 1.5e9}
SILENT = "the device did not tell each time whether its processor was throttled, as it can"
FREE = {**STEADY, "governor": "ondemand"}


def ran(before=None, after=None, *, base=STEADY, **changes):
    return replace(RAN, before={**base, **(before or {})}, after={**base, **(after or {})}, **changes)


def window(busy, own=1.0):
    return Window(1.0, 3.0, 100, busy, own, ())


def test_a_good_repeat_has_neither_reasons_nor_doubts():
    assert verdict(ran(), ran()) == Verdict()
    assert verdict(replace(RAN, before={}, after={})) == Verdict()  # a device that tells nothing


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0, 0, None),
        (0x1, 0x1, "under-voltage"),
        (0x2, 0x0, "its clock is capped"),
        (0x0, 0x4, "its clock is throttled"),
        (0x0, 0x80008, "the soft temperature limit is reached"),
        (0x0, 0x50000, "under-voltage, its clock is throttled"),  # between the two readings
        (0x50000, 0x50000, None),  # before there was any measurement
        (0x50000, 0xD0000, "the soft temperature limit is reached"),
        (0x50005, 0x50005, "under-voltage, its clock is throttled"),
        (0x10, 0x100010, None),  # no bits of ours
    ],
)
def test_bits_of_the_firmware(before, after, said):
    found = verdict(ran({"throttled": before}, {"throttled": after}))
    assert found == Verdict((f"the firmware says: {said}",) if said else ())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, 0x4, "its clock is throttled"),
        (0x4, None, "its clock is throttled"),
        ("0x1", 0x4, "its clock is throttled"),
        (0x4, 1.0, "its clock is throttled"),
        (None, 0x50000, None),  # nobody knows since when
        (0x50000, None, None),
        (0x0, None, None),
    ],
)
def test_what_the_firmware_says_at_one_time_only_counts_for_then_and_is_doubtful(before, after, said):
    found = verdict(ran({"throttled": before}, {"throttled": after}))
    assert found.invalid == ((f"the firmware says: {said}",) if said else ())
    assert found.doubts == (SILENT,)


@pytest.mark.parametrize("key", ["throttled", "throttles"])
def test_a_device_that_told_once_and_does_no_more_is_doubtful(key):
    told, silent = ran({key: 0}, {key: 0}), ran({key: None}, {key: None})
    assert verdict(told, told) == verdict(silent, silent) == Verdict()
    for before, after in ((told, silent), (silent, told)):
        one = replace(told, before=before.before, after=after.after)
        assert verdict(one) == verdict(silent, one) == Verdict((), (SILENT,))
    assert verdict(silent, told) == Verdict((), (SILENT,))


@pytest.mark.parametrize(
    ("before", "after", "count"), [(2, 2, 0), (2, 5, 3), (5, 2, 0), (None, 5, 0), (2, None, 0), ("2", "5", 0)]
)
def test_a_count_of_throttling_that_rose(before, after, count):
    found = verdict(ran({"throttles": before}, {"throttles": after})).invalid
    assert found == ((f"the processor was throttled {count} times meanwhile",) if count else ())
    assert throttled({"throttles": before}, {"throttles": after}) == list(found)


@pytest.mark.parametrize(("hertz", "fell"), [(1.5e9, False), (1.4701e9, False), (1.4699e9, True), (6e8, True)])
def test_a_steady_clock_that_falls_by_more_than_2_percent_is_no_measurement(hertz, fell):
    after = {"frequency_hz": hertz, "frequency_low_hz": hertz}
    meanwhile = verdict(ran(None, after))
    since = verdict(ran(after, after), ran())
    asked = verdict(ran(after, {**after, "frequency_max_hz": 1.5e9}))
    found = [meanwhile, since, asked]
    assert [len(one.invalid) for one in found] == [int(fell)] * 3
    assert not any(one.doubts for one in found)
    if fell:
        assert "frequency fell meanwhile: " in meanwhile.invalid[0]
        assert "frequency fell since the first repeat: " in since.invalid[0]
        assert "frequency is not what was asked for: " in asked.invalid[0]
        assert asked.invalid[0].endswith(f"{hertz:.4g} Hz, not 1.5e+09 Hz")


def test_a_clock_that_was_slow_only_at_first_is_no_measurement_either():
    slow_at_first = ran(before={"frequency_hz": 1.0e9, "frequency_low_hz": 1.0e9})
    (said,) = verdict(slow_at_first, ran()).invalid
    assert said == "the processor's frequency was lower at first than in the first repeat: 1e+09 Hz, not 1.5e+09 Hz"
    assert verdict(replace(slow_at_first, before=FREE, after=FREE), ran(base=FREE)) == Verdict()


def test_one_core_that_is_slower_counts_where_the_clock_is_steady():
    assert verdict(ran(None, {"frequency_low_hz": 1e9})).invalid
    assert verdict(ran(None, {"frequency_low_hz": 1e9}, base=FREE)) == Verdict()  # an idle one
    assert verdict(ran(None, {"frequency_hz": 1e9, "frequency_low_hz": None})).invalid  # it is not told


def test_unlike_cores_are_as_fast_as_each_was_asked_to_be():
    both = {"frequency_hz": 2.4e9, "frequency_low_hz": 1.8e9, "frequency_max_hz": 2.4e9}
    assert verdict(ran(both, both), ran(both, both)) == Verdict()


def test_a_clock_that_may_change_and_falls_is_a_doubt():
    for base in (FREE, {**STEADY, "boost": 1}, {**STEADY, "governor": None}):
        found = verdict(ran(None, {"frequency_hz": 1.4e9}, base=base))
        assert found.invalid == ()
        assert [doubt.partition(" by ")[0] for doubt in found.doubts] == ["the processor's frequency fell"]
        assert verdict(ran(None, {"frequency_hz": 1.48e9}, base=base)) == Verdict()
    # What it may reach is no promise.
    assert verdict(ran({"frequency_max_hz": 3e9}, {"frequency_max_hz": 3e9}, base=FREE)) == Verdict()


@pytest.mark.parametrize(
    ("changes", "steady"),
    [
        ({}, True),
        ({"boost": None}, True),
        ({"boost": 1}, False),
        ({"governor": "ondemand"}, False),
        ({"governor": "ondemand,performance"}, False),
        ({"governor": None}, False),
        ({"governor": "schedutil", "frequency_min_hz": 1.5e9, "frequency_max_hz": 1.5e9}, True),  # jetson_clocks
        ({"governor": "schedutil", "frequency_min_hz": 1.4e9, "frequency_max_hz": 1.5e9}, False),
        ({"governor": "schedutil", "frequency_min_hz": 1.5e9, "frequency_max_hz": 1.5e9, "boost": 1}, False),
    ],
)
def test_when_a_clock_is_steady(changes, steady):
    assert is_steady({**STEADY, **changes}) == steady


def test_a_governor_that_changes_is_no_measurement():
    changed = "the governor was changed from 'performance' to 'ondemand'"
    assert verdict(ran(None, {"governor": "ondemand"})).invalid == (changed,)
    assert verdict(ran(base=FREE), ran()).invalid == (changed,)
    assert verdict(ran(None, {"governor": None}), ran()) == Verdict()
    assert verdict(ran({"governor": None})) == Verdict()


@pytest.mark.parametrize(
    ("cores", "others", "doubtful"),
    [
        (2, None, False),
        (2, 0.1, False),
        (2, 0.11, True),
        (4, 0.3, True),
        (16, 0.16, False),
        (16, 0.17, True),
        (64, 0.5, False),
        (64, 0.51, True),
        (256, 0.51, True),  # one busy core is seen among any number
    ],
)
@pytest.mark.parametrize("when", ["timed", "window"])
def test_other_work_beside_the_network_is_a_doubt(cores, others, doubtful, when):
    told = {"others_cores": others} if when == "timed" else {"window": window(others, own=0.0)}
    found = verdict(ran(None, {"cpu_cores": cores}, **{"others_cores": None, **told}))
    assert found.invalid == ()
    assert [doubt.partition(" took ")[0] for doubt in found.doubts] == ["other work"] * doubtful


@pytest.mark.parametrize(
    ("cores", "threads", "others", "shared"),
    [
        (1, 1, 0.5, False),
        (1, 1, 0.51, True),
        (4, 4, 0.5, False),
        (4, 4, 0.6, True),
        (2, 1, 1.0, False),  # the other core is busy
        (2, 1, 1.5, False),
        (2, 1, 1.6, True),
        (4, 8, 0.6, True),
        (None, 1, 0.6, True),
    ],
)
def test_other_work_that_comes_to_the_networks_own_cores_is_no_measurement(cores, threads, others, shared):
    found = verdict(ran(None, {"cpu_cores": cores}, others_cores=others), None, threads)
    assert len(found.invalid) == int(shared)
    assert len(found.doubts) == int(not shared)
    assert "the network's own among them" in "".join(found.invalid) or not shared
    energy = verdict(ran(None, {"cpu_cores": cores}, window=window(threads + others, threads)), None, threads)
    assert (len(energy.invalid), len(energy.doubts)) == (int(shared), int(not shared))
    assert "while its energy was measured" in "".join((*energy.invalid, *energy.doubts))
    never_at_rest = verdict(ran(None, {"cpu_cores": cores}, others_cores=others), None, threads, at_rest=False)
    assert never_at_rest == Verdict((), found.invalid + found.doubts)


def test_a_warm_up_that_was_not_steady_and_a_clock_that_was_set_are_doubts():
    found = verdict(ran(steady=False, clock_steps=2))
    assert found.invalid == ()
    assert len(found.doubts) == 2
    assert "steady" in found.doubts[0]
    assert "clock was set meanwhile" in found.doubts[1]


@pytest.mark.parametrize(
    ("before", "after", "doubts"), [(50.0, 60.0, 0), (50.0, 60.1, 1), (60.0, 50.0, 0), (None, 90.0, 0), (50.0, None, 0)]
)
def test_a_repeat_in_which_it_got_much_hotter_is_doubtful(before, after, doubts):
    found = verdict(ran({"temperature_c": before}, {"temperature_c": after}))
    assert (len(found.invalid), len(found.doubts)) == (0, doubts)


@pytest.mark.parametrize("value", ["x", 10**400, float("inf"), float("nan"), -(10**400)])
def test_what_is_no_number_counts_as_not_told(value):
    keys = (
        "throttles",
        "throttled",
        "frequency_hz",
        "frequency_low_hz",
        "frequency_max_hz",
        "temperature_c",
        "cpu_cores",
    )
    odd = dict.fromkeys(keys, value)
    for one, other in ((odd, odd), ({}, odd), (odd, {})):
        verdict(ran(one, other), ran(other, one))
    assert verdict(ran({"throttles": 1}, {"throttles": value})) == Verdict((), (SILENT,))


def test_words_of_the_firmwares_bits():
    assert firmware.words(0) == ""
    assert firmware.words(0b1111).count(", ") == 3
    assert (firmware.now(0x50001), firmware.latched(0x50001), firmware.latched(0x1)) == (1, 0b101, 0)
