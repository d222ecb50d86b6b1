"""Functions that a bench has timed, on a device that does what the test says: the numbers, and who is blamed."""

from dataclasses import replace

import pytest
from scripted import CONDITIONS, FACTS, Die, ScriptedTransport, Silence, ran, timed
from test_bench import GOOD, LIBRARY_OF, REFERENCE, open_bench

from joulefront.errors import BenchError, ConnectionLost, Crashed, Hung, TransportError, WireMismatch
from joulefront.kernel_records import Argument, Function
from joulefront.records import Failure
from joulefront_agent import wire

__all__ = ["open_bench"]

FUNCTIONS = [
    Function(name, (Argument((2, 3), "float32", True), Argument((6,), "float32", False))) for name in ("a", "b")
]
SHA256 = "c" * 64


@pytest.fixture
def time(tmp_path):
    """Has a bench time both functions."""

    def time(bench):
        plan = {"rounds": 3, "slice_s": 0.01, "limit_s": 5.0, "flush_b": 4096}
        return bench.time_functions(tmp_path / "kernels.so", SHA256, FUNCTIONS, **plan)

    return time


@pytest.fixture
def reference(tmp_path):
    return replace(REFERENCE, library=tmp_path / "x.so")


def answering(*answers):
    """A function for time: one answer, or what to raise, after another. Keeps what was asked."""
    left, asked = list(answers), []

    def time(params):
        asked.append(params)
        answer = left.pop(0)
        if isinstance(answer, BaseException) or answer in (Die, Silence):
            raise answer
        return answer

    time.asked = asked
    return time


def test_the_median_of_the_rounds_comes_with_their_spread(open_bench, time):
    agent = answering(timed([[1.0, 1.2, 1.1], [2.0, 2.0, 2.0]]))
    with open_bench(ScriptedTransport(time=agent), pin_threads=False) as bench:
        first, second = time(bench)
    assert (first.rounds_s, first.latency_s.value, first.provenance) == ((1.0, 1.2, 1.1), 1.1, "measured")
    assert first.latency_s.low < 1.0 < 1.2 < first.latency_s.high
    assert (second.latency_s.low, second.latency_s.high, second.warnings) == (2.0, 2.0, ())
    (asked,) = agent.asked
    argument = {"shape": [2, 3], "dtype": "float32", "warm": True}
    assert asked["functions"][0] == {"name": "a", "arguments": [argument, {**argument, "shape": [6], "warm": False}]}
    assert asked["library"] == f"/device/{SHA256}.so"
    assert (asked["sha256"], asked["threads"], asked["pin_threads"]) == (SHA256, 1, False)
    assert (asked["rounds"], asked["slice_s"], asked["limit_s"], asked["flush_b"]) == (3, 0.01, 5.0, 4096)


def test_one_that_failed_has_its_reason_and_the_other_its_time(open_bench, time):
    with open_bench(ScriptedTransport(time=answering(timed(["Crashed", [1.0]])))) as bench:
        first, second = time(bench)
    assert first == Failure("Crashed", "told to")
    assert second.latency_s.value == 1.0
    assert second.latency_s.high == float("inf")  # one round says nothing about the spread


def test_what_an_emulated_board_took_is_simulated_and_doubts_are_said(open_bench, time):
    hot = timed([[1.0], [2.0]], before={**CONDITIONS, "throttles": 1}, after={**CONDITIONS, "throttles": 3})
    transport = ScriptedTransport(hello=lambda params: {**FACTS, "simulated": "QEMU"}, time=answering(Die, hot))
    with open_bench(transport) as bench:
        first, _ = time(bench)
    assert first.provenance == "simulated"
    assert first.warnings == (
        "the processor was throttled 2 times meanwhile",
        "the agent was lost and started anew: scripted: the end",
    )


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (wire.Failure("Crashed", "told to"), Crashed),
        (wire.Failure("Hung", "told to"), Hung),
        (wire.Failure("BadFile", "told to"), TransportError),
        (wire.Failure("BadClock", "told to"), BenchError),
        (Die, Crashed),
    ],
)
def test_a_library_is_blamed_when_the_reference_runs_between_its_two_failures(
    open_bench, time, reference, failure, error
):
    def run(params):
        assert params["library"] == LIBRARY_OF["reference"]
        return ran(1e-3, outputs=GOOD).to_wire()

    with open_bench(ScriptedTransport(time=answering(failure, failure), run=run)) as bench:
        bench.reference = reference
        with pytest.raises(error) as caught:
            time(bench)
    assert type(caught.value) is error


def test_nobody_is_blamed_when_the_reference_fails_too(open_bench, time, reference):
    def run(params):
        raise wire.Failure("Crashed", "the reference as well")

    transport = ScriptedTransport(time=answering(wire.Failure("Crashed", "told to")), run=run)
    with open_bench(transport) as bench:
        bench.reference = reference
        with pytest.raises(BenchError, match=r"kernels\.so failed .*and so does the reference"):
            time(bench)


def test_a_lost_connection_is_waited_for_and_all_is_timed_anew(open_bench, time):
    agent = answering(ConnectionLost("told to"), timed([[1.0], [2.0]]))
    transport = ScriptedTransport(time=agent)
    with open_bench(transport) as bench:
        assert [one.latency_s.value for one in time(bench)] == [1.0, 2.0]
    assert len(agent.asked) == transport.started == 2


def test_an_answer_about_other_functions_is_not_of_the_protocol(open_bench, time):
    with (
        open_bench(ScriptedTransport(time=answering(timed([[1.0]])))) as bench,
        pytest.raises(WireMismatch, match="answer to time: functions: expected 2, not 1"),
    ):
        time(bench)
