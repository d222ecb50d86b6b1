"""What a network spends in functions that run TVM's own loops, on a device that does what the test says and on this one."""

import re
from dataclasses import replace

import pytest
from scripted import FACTS, Die, ScriptedTransport, Silence, ran, timed
from test_bench import GOOD, JOB, open_bench

from joulefront.bench import Bench
from joulefront.config import MeasureConfig
from joulefront.errors import TransportError
from joulefront.kernel_records import Argument, Fallback, Function
from joulefront_agent import wire
from joulefront_devices import Device
from joulefront_devices.device import SettleTable

__all__ = ["open_bench"]

SAID = "{} runs TVM's own loops, since no kernel of ours applies{}"


def fallback(name, operators, calls=1, shape=(2, 3)):
    return Fallback(Function(name, (Argument(shape, "float32", True),)), operators, calls)


@pytest.fixture
def job(tmp_path):
    """A job of 10 ms with four such functions, two of one kind, and one that computes nothing."""
    library = tmp_path / "x.so"
    library.write_bytes(bytes(1000))
    functions = (
        fallback("conv3d", "conv3d", calls=2),
        fallback("cumsum", "cumsum"),
        fallback("conv3d1", "conv3d"),
        fallback("nothing", "nothing", shape=(2, 0)),
        fallback("argmax", "argmax"),
    )
    return replace(JOB, library=library, fallbacks=functions)


@pytest.fixture
def warnings(open_bench, job):
    """The warnings of a measurement whose timing of functions is answered so, and what was asked."""

    def warnings(answer, grade="screening", **facts):
        asked = []

        def time(params):
            asked.append(params)
            if isinstance(answer, BaseException) or answer in (Die, Silence):
                raise answer
            return answer

        run = ran(1e-2, outputs=GOOD).to_wire()
        transport = ScriptedTransport(hello=lambda params: {**FACTS, **facts}, run=lambda params: run, time=time)
        with open_bench(transport) as bench:
            return bench.measure(job, grade).warnings, asked

    return warnings


@pytest.mark.parametrize("grade", ["screening", "full"])
def test_the_share_of_the_latency_is_a_warning_the_slowest_first(warnings, grade):
    said, asked = warnings(timed([[2e-3] * 3, [1.2e-3] * 3, [1.5e-3] * 3, [9.9e-5] * 3]), grade)
    assert said == (
        SAID.format("conv3d", ": about 55 % of the inference, measured by itself"),
        SAID.format("cumsum", ": about 12 % of the inference, measured by itself"),
    )
    (params,) = asked
    assert [one["name"] for one in params["functions"]] == ["conv3d", "cumsum", "conv3d1", "argmax"]
    assert (params["flush_b"], params["sha256"]) == (1000, JOB.sha256)
    assert params["rounds"] * params["slice_s"] * 4 < 1
    assert params["limit_s"] < 1


def test_what_is_simulated_is_called_so_and_no_share_is_more_than_all(warnings):
    said, _ = warnings(timed([[6e-3], [1e-6], [1e-6], [1e-6]]), simulated="QEMU")
    assert said == (SAID.format("conv3d", ": about 100 % of the inference, simulated by itself"),)


def test_what_could_not_be_timed_is_said_and_the_network_stays_measured(warnings):
    said, _ = warnings(timed([[2e-3], "Crashed", "Hung", [1e-6]]))
    assert said == (
        SAID.format("conv3d", ": about 40 % of the inference, measured by itself"),
        SAID.format("cumsum", "; what it takes is not known: Crashed: told to"),
        SAID.format("conv3d", "; what it takes is not known: Hung: told to"),
    )


def test_a_library_that_dies_of_it_ran_all_the_same(warnings):
    said, asked = warnings(wire.Failure("OutOfMemory", "told to"))
    assert len(said) == 3
    assert all("; what it takes is not known: OutOfMemory: candidate: told to (twice" in one for one in said)
    assert len(asked) == 2


def test_the_devices_own_failure_is_raised(warnings):
    with pytest.raises(TransportError, match="BadFile"):
        warnings(wire.Failure("BadFile", "told to"))


def test_a_network_of_kernels_alone_is_not_timed_again(open_bench, job):
    def never(params):
        raise AssertionError

    run = ran(1e-2, outputs=GOOD).to_wire()
    for left in ((), (job.fallbacks[3],)):
        with open_bench(ScriptedTransport(run=lambda params: run, time=never)) as bench:
            assert bench.measure(replace(job, fallbacks=left), "screening").warnings == ()


@pytest.mark.usefixtures("shared_machine")
def test_real_functions_have_a_share(jobs):
    job = jobs["plain"]
    names = {name.decode() for name in re.findall(rb"__tvm_ffi_(\w*relu\w*)\0", job.library.read_bytes())}
    (relu,) = (name for name in names if "fused" not in name or "matmul" not in name)
    arguments = (Argument((1, 64), "float32", True), Argument((1, 64), "float32", True))
    often = Fallback(Function(relu, arguments), "relu", 1_000_000)
    crash = Fallback(Function("missing", arguments), "missing", 1)
    config = MeasureConfig(interval=0.99, time_s=0.5)
    with Bench(Device(name="test", meter="none", settle=SettleTable(time_s=0.0)), config, 1) as bench:
        measurement = bench.measure(replace(job, fallbacks=(often, crash)), "screening")
    share, missing = measurement.warnings[-2:]
    assert share == SAID.format("relu", ": about 100 % of the inference, measured by itself")
    assert missing.startswith(SAID.format("missing", "; what it takes is not known: Crashed: "))
