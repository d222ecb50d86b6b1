"""The messages about single functions: what is written is what is read, and whatever else comes in is a WireError."""

import json
from dataclasses import replace

import pytest

from joulefront_agent import wire
from joulefront_agent.wire_time import Argument, Function, Step, Timed, Timing

ARGUMENTS = (Argument((1, 7, 7, 512), "float32", True), Argument((3,), "int64", False))
TIMING = Timing(
    "/x.so",
    "0" * 64,
    (Function("conv2d", ARGUMENTS), Function("copy", ARGUMENTS[1:])),
    1,
    True,
    5,
    0.01,
    4096,
    60.0,
    30.0,
)
TIMED = Timed(((1e-3, 2e-3),), {"governor": None}, {"governor": "performance"})


def through_json(table):
    return json.loads(json.dumps(table))


def test_messages_come_out_as_they_went_in():
    assert Timing.from_wire(through_json(TIMING.to_wire())) == TIMING
    assert Timed.from_wire(through_json(TIMED.to_wire()), 1) == TIMED
    for step in (Step(1), Step(0, 1e-3)):
        assert Step.from_wire(through_json(step.to_wire()), 2) == step
    failed = replace(TIMED, functions=(wire.Failure("Crashed", "why"), (1.0,)))
    first, second = Timed.from_wire(through_json(failed.to_wire()), 2).functions
    assert (first.kind, first.message, second) == ("Crashed", "why", (1.0,))
    error = Step.from_wire(through_json(Step(0, error=wire.Failure("Crashed", "why")).to_wire()), 1).error
    assert (error.kind, error.message) == ("Crashed", "why")
    assert wire.decode_request(wire.encode_request(wire.Request(1, "time", TIMING.to_wire()))).op == "time"


def test_how_long_an_answer_takes_at_most():
    assert TIMING.end_s == 120.0
    assert ARGUMENTS[0].size_b == 100_352


def argument(**changes):
    return {"shape": [1], "dtype": "float32", "warm": True, **changes}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("library", 3, "library: expected str"),
        ("threads", 0, "threads: expected 1 or more"),
        ("rounds", 0, "rounds: expected 1 or more"),
        ("rounds", 1.5, "rounds: expected int"),
        ("slice_s", -1, "slice_s: expected 0 or more"),
        ("flush_b", -1, "flush_b: expected 0 or more"),
        ("limit_s", None, "limit_s: expected float"),
        ("timeout_s", 10**400, "timeout_s: expected 0 or more, but finite"),
        ("functions", {}, "functions: expected a list"),
        ("functions", [], "functions: expected at least one"),
        ("functions", [{"name": "x"}], "missing or unknown: arguments"),
        ("functions", [{"name": 1, "arguments": [argument()]}], "name: expected str"),
        ("functions", [{"name": "x", "arguments": []}], "arguments: expected at least the output"),
        ("functions", [{"name": "x", "arguments": [argument(shape=[0])]}], "shape: expected 1 or more"),
        ("functions", [{"name": "x", "arguments": [argument(dtype="object")]}], "dtype: expected a name"),
        ("functions", [{"name": "x", "arguments": [argument(warm=1)]}], "warm: expected bool"),
        ("surplus", 1, "missing or unknown: surplus"),
    ],
)
def test_a_request_that_is_none_says_what_was_expected(key, value, said):
    with pytest.raises(wire.WireError, match=said):
        Timing.from_wire({**through_json(TIMING.to_wire()), key: value})


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ([], "functions: expected 1, not 0"),
        ([[]], "expected at least one round"),
        ([[None]], "functions: expected float"),
        ([[-1.0]], "functions: expected 0 or more"),
        (["x"], "error: expected an object"),
        ([{"kind": "Crashed"}], "missing or unknown: message"),
        ({}, "functions: expected a list"),
    ],
)
def test_an_answer_is_checked_as_well(functions, said):
    with pytest.raises(wire.WireError, match=said):
        Timed.from_wire({**TIMED.to_wire(), "functions": functions}, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"function": 2}, "function: expected less than 2, not 2"),
        ({"seconds": "1"}, "seconds"),
        ({"error": 1}, "error"),
    ],
)
def test_so_is_every_step(change, said):
    with pytest.raises(wire.WireError, match=said):
        Step.from_wire({**Step(0).to_wire(), **change}, 2)
