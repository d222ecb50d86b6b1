"""Single functions that the agent's children time: what comes back, and who is blamed for what."""

import re
from dataclasses import replace

import psutil
import pytest

import odd_functions
from joulefront import kernel_records as kernels
from joulefront.bench import Bench
from joulefront.bench.local import _runtime
from joulefront.config import MeasureConfig
from joulefront_agent import wire
from joulefront_agent.runner import Runner
from joulefront_agent.wire_time import Argument, Function, Timing
from joulefront_devices import Device
from joulefront_devices.device import SettleTable

PLAIN = (Argument((4,), "float32", True),)
LOOK = (
    Argument((10, 100), "float32", True),
    Argument((3,), "int64", False),
    Argument((3,), "float16", False),
    Argument((3,), "bfloat16", False),
)


@pytest.fixture
def runner():
    runner = Runner(str(_runtime()), "/")
    yield runner
    runner.stop()


@pytest.fixture(scope="session")
def functions(tmp_path_factory):
    return odd_functions.library(tmp_path_factory.mktemp("functions"))


@pytest.fixture
def timing(functions):
    """Makes a request to time functions of those names quickly."""
    library, sha256 = functions

    def make(*names, **changes):
        called = tuple(Function(name, LOOK if name == "look" else PLAIN) for name in names)
        asked = Timing(str(library), sha256, called, 1, False, 3, 1e-4, 0, 60.0, 60.0)
        return replace(asked, **changes)

    return make


def test_every_function_has_a_time_in_every_round(runner, timing):
    timed = runner.time(1, timing("quick", "slow", "look", "quick", pin_threads=True))
    assert [len(seconds) for seconds in timed.functions] == [3] * 4
    quick, slow, _, again = (min(seconds) for seconds in timed.functions)
    assert 0 < quick < slow
    assert 0 < again < slow
    assert timed.before["cores"] == timed.before["cores"].strip(",")
    assert timed.before["cpu_total_s"] <= timed.after["cpu_total_s"]


def test_caches_are_flushed_on_request(runner, timing):
    asked = timing("quick", "look", "slow", flush_b=100_000)
    cold = Function("quick", (Argument((400, 1000), "float32", False),))
    timed = runner.time(1, replace(asked, functions=(*asked.functions, cold)))
    assert [len(seconds) for seconds in timed.functions] == [3] * 4


def test_what_fails_is_named_and_the_others_are_timed(runner, timing):
    names = ("quick", "crash", "look", "crash_later", "leave", "missing", "killed", "refuse", "chatter")
    timed = dict(zip(names, runner.time(1, timing(*names)).functions, strict=True))
    for name in ("quick", "look", "chatter"):
        assert len(timed[name]) == 3
    for name, kind, said in [
        ("crash", "Crashed", "died of SIGSEGV"),
        ("crash_later", "Crashed", "died of SIGSEGV"),
        ("leave", "Crashed", "exit status 3; its last words: I give up"),
        ("killed", "OutOfMemory", "SIGKILL"),
        ("missing", "Crashed", "the library has no function 'missing'"),
        ("refuse", "Crashed", ""),
    ]:
        assert timed[name].kind == kind, name
        assert said in timed[name].message


def test_one_that_hangs_is_killed_and_the_others_are_timed(runner, timing):
    before = set(psutil.Process().children())
    timed = runner.time(1, timing("quick", "hang", "slow", timeout_s=1.0))
    assert timed.functions[1].kind == "Hung"
    assert "not answered after 1 s" in timed.functions[1].message
    assert [len(timed.functions[number]) for number in (0, 2)] == [3, 3]
    assert set(psutil.Process().children()) <= before


def test_a_library_that_cannot_be_loaded_is_no_functions_fault(runner, timing, broken):
    job = broken["crash"]
    with pytest.raises(wire.Failure, match="SIGSEGV") as caught:
        runner.time(1, timing("quick", library=str(job.library), sha256=job.sha256))
    assert caught.value.kind == "Crashed"
    with pytest.raises(wire.Failure, match="damaged on its way"):
        runner.time(1, timing("quick", sha256="0" * 64))
    with pytest.raises(wire.Failure, match=r"/nowhere/libtvm_runtime\.so") as caught:
        Runner("/nowhere/libtvm_runtime.so", "/").time(1, timing("quick"))
    assert caught.value.kind == "NoRuntime"


def test_functions_are_timed_on_a_bench(functions):
    called = [kernels.Function(name, (kernels.Argument((4,), "float32", True),)) for name in ("quick", "crash", "slow")]
    device = Device(name="test", settle=SettleTable(time_s=0.0))
    with Bench(device, MeasureConfig(), 1) as bench:
        times = bench.time_functions(*functions, called, rounds=3, slice_s=1e-4, limit_s=60.0, flush_b=0)
    quick, crash, slow = times
    assert (crash.kind, len(quick.rounds_s), quick.provenance) == ("Crashed", 3, "measured")
    assert 0 < quick.latency_s.value < slow.latency_s.value
    assert quick.latency_s.low <= quick.latency_s.value <= quick.latency_s.high


def test_the_functions_of_a_network_are_timed(runner, jobs, timing):
    job = jobs["plain"]
    names = {name.decode() for name in re.findall(rb"__tvm_ffi_(\w*relu\w*)\0", job.library.read_bytes())}
    (relu,) = (name for name in names if "fused" not in name or "matmul" not in name)
    function = Function(relu, (Argument((1, 64), "float32", True), Argument((1, 64), "float32", True)))
    asked = timing("quick", library=str(job.library), sha256=job.sha256, functions=(function,))
    (seconds,) = runner.time(1, asked).functions
    assert len(seconds) == 3
