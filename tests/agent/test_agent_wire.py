"""The protocol: what is written is what is read, and whatever else comes in is a WireError, never another error."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulefront_agent import wire, wire_energy

RUN = wire.Run(
    library="/tmp/x.so",
    sha256="0" * 64,
    inputs=(wire.Tensor((1, 2), "float32", bytes(8)),),
    threads=2,
    pin_threads=False,
    outputs=True,
    warm_up_s=0.5,
    sample_s=0.1,
    samples=30,
    sample_limit_s=1.0,
    energy_s=0.0,
    periods=10,
    energy_limit_s=15.0,
    meters=("auto",),
    timeout_s=60.0,
)
READING = wire_energy.Reading("rapl", "package-0", 1.5, 2.0, 1e-6, 1e-3, None, 0.01)
WINDOW = wire_energy.Window(5.0, 7.0, 1000, 1.5, 1.0, (READING,))
RAN = wire.Ran(
    outputs=(wire.Tensor((), "int64", bytes(8)),),
    samples_s=(1e-3, 2e-3),
    clock_steps=1,
    warm_up_s=0.1,
    steady=True,
    others_cores=0.5,
    window=WINDOW,
    took_s=2.5,
    memory_b=1 << 20,
    memory_reason=None,
    before={"governor": None, "temperature_c": 41.5},
    after={"governor": "performance", "temperature_c": 42.0},
)


def through_json(table: dict) -> dict:
    return json.loads(json.dumps(table))


def test_messages_come_out_as_they_went_in():
    assert wire.Run.from_wire(through_json(RUN.to_wire())) == RUN
    assert wire.Ran.from_wire(through_json(RAN.to_wire())) == RAN
    assert wire.Ran.from_wire(through_json(replace(RAN, window=None).to_wire())) == replace(RAN, window=None)
    request = wire.Request(7, "run", RUN.to_wire())
    assert wire.decode_request(wire.encode_request(request)) == request
    answer = wire.Answer(7, {"a": 1})
    assert wire.decode_answer(wire.encode_answer(answer)) == answer
    error = wire.decode_answer(wire.encode_answer(wire.Answer(None, None, wire.Failure("Hung", "für immer\nund ewig"))))
    assert (error.id, error.error.kind, error.error.message) == (None, "Hung", "für immer\nund ewig")


def test_a_message_is_one_line():
    assert b"\n" not in wire.encode_request(wire.Request(1, "run", {"text": "a\nb"}))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"id": 1, "op": "ping"}',
        b'{"id": 1, "op": "ping", "params": []}',
        b'{"id": 1, "op": "exec", "params": {}}',
        b'{"id": "1", "op": "ping", "params": {}}',
        b'{"id": true, "op": "ping", "params": {}}',
        b'{"id": 1, "op": "ping", "params": {}, "more": 1}',
        b'{"id": 1, "op": "ping", "params": {"x": NaN}}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_request_is_refused(line):
    with pytest.raises(wire.WireError):
        wire.decode_request(line)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(line):
    for decode in (wire.decode_request, wire.decode_answer):
        with pytest.raises(wire.WireError):
            decode(line)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("threads", 0, "threads: expected 1 or more"),
        ("threads", 1.5, "threads: expected int"),
        ("threads", True, "threads: expected int"),
        ("outputs", 1, "outputs: expected bool"),
        ("timeout_s", "60", "timeout_s: expected float"),
        ("timeout_s", -1, "timeout_s: expected 0 or more"),
        ("timeout_s", 10**400, "timeout_s: expected 0 or more, but finite, not 1000"),
        ("samples", None, "samples: expected int"),
        ("library", 3, "library: expected str"),
        ("inputs", {}, "inputs: expected a list"),
        ("inputs", [{"shape": [2], "dtype": "float32", "data": ""}], "0 bytes do not fill float32"),
        ("inputs", [{"shape": [-1], "dtype": "float32", "data": ""}], "shape: expected 0 or more"),
        ("inputs", [{"shape": [1], "dtype": "object", "data": ""}], "dtype: expected a name such as float32"),
        ("inputs", [{"shape": [1], "dtype": "float32", "data": "?"}], "data: not base64"),
        ("inputs", [{"shape": [1], "dtype": "float32"}], "missing or unknown: data"),
    ],
)
def test_a_run_that_is_none_says_what_was_expected(key, value, said):
    with pytest.raises(wire.WireError, match=said):
        wire.Run.from_wire({**RUN.to_wire(), key: value})


@pytest.mark.parametrize("key", list(RUN.to_wire()))
def test_every_key_of_a_run_is_needed(key):
    table = RUN.to_wire()
    del table[key]
    with pytest.raises(wire.WireError, match=key):
        wire.Run.from_wire(table)
    with pytest.raises(wire.WireError, match="surplus"):
        wire.Run.from_wire({**RUN.to_wire(), "surplus": 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("samples_s", []),
        ("samples_s", [None]),
        ("clock_steps", -1),
        ("before", {"a": [1]}),
        ("after", {"a": True}),
        ("steady", None),
        ("memory_b", 1.5),
        ("memory_b", -1),
        ("memory_b", None),
        ("memory_reason", "both"),
    ],
)
def test_what_ran_is_checked_as_well(key, value):
    with pytest.raises(wire.WireError, match=key):
        wire.Ran.from_wire({**RAN.to_wire(), key: value})


def test_another_version_is_named():
    hello = wire.Hello(30.0, "auto", "performance")
    assert wire.Hello.from_wire(hello.to_wire()) == hello
    with pytest.raises(wire.WireError, match=f"version 99 of the protocol, this agent version {wire.VERSION}"):
        wire.Hello.from_wire({"version": 99, "something": "new"})


def test_a_silence_of_more_than_a_day_is_refused():
    with pytest.raises(wire.WireError, match=r"silence_s: expected 86400 or less, not 1e\+300"):
        wire.Hello.from_wire(wire.Hello(1e300, "auto").to_wire())


def test_a_governor_that_no_session_may_ask_for_is_refused():
    with pytest.raises(wire.WireError, match="governor: expected one of performance, keep, not 'powersave'"):
        wire.Hello.from_wire(wire.Hello(30.0, "auto", "powersave").to_wire())


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bool", 1), ("uint8", 1), ("int64", 8), ("bfloat16", 2)])
def test_itemsize(dtype, size):
    assert wire.itemsize(dtype) == size
