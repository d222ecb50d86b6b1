"""The agent's child processes: what they return, and what is said of those that don't."""

import os
import struct
import threading
from dataclasses import replace

import psutil
import pytest

from joulefront.bench.local import _runtime
from joulefront_agent import wire
from joulefront_agent.runner import Runner


@pytest.fixture
def runner():
    runner = Runner(str(_runtime()), "/")
    yield runner
    runner.stop()


def floats(tensor):
    return struct.unpack(f"<{len(tensor.data) // 4}f", tensor.data)


def test_a_network_runs_is_sampled_and_returns_what_torch_gave(runner, jobs, run_of):
    job = jobs["plain"]
    ran = runner.run(1, run_of(job))
    assert [tensor.shape for tensor in ran.outputs] == [(1, 10)]
    assert floats(ran.outputs[0]) == pytest.approx(floats(job.expected[0]), rel=1e-4, abs=1e-5)
    assert len(ran.samples_s) >= 5
    assert all(0 < sample < 1 for sample in ran.samples_s)
    assert ran.energy is None
    assert ran.before["cpu_total_s"] <= ran.after["cpu_total_s"]


def test_several_outputs_come_back_in_order(runner, jobs, run_of):
    ran = runner.run(1, run_of(jobs["two"]))
    assert [floats(tensor) for tensor in ran.outputs] == [
        pytest.approx(floats(array), rel=1e-6) for array in jobs["two"].expected
    ]


def test_outputs_are_sent_only_when_asked_for(runner, jobs, run_of):
    assert runner.run(1, run_of(jobs["plain"], outputs=False)).outputs == ()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("crash", "Crashed", "died of SIGSEGV"),
        ("killed", "OutOfMemory", "SIGKILL"),
        ("exit", "Crashed", "ended with exit status 3; its last words: I give up"),
        # It prints what looks like an answer and is then no network: the print goes to stderr, the error is the truth.
        ("chatter", "Crashed", "Error"),
    ],
)
def test_a_child_that_fails_is_reported_with_its_end(runner, broken, run_of, name, kind, said):
    with pytest.raises(wire.Failure, match=said) as caught:
        runner.run(1, run_of(broken[name]))
    assert caught.value.kind == kind


def test_a_child_that_overruns_is_killed(runner, broken, run_of):
    with pytest.raises(wire.Failure, match="not answered after 1 s") as caught:
        runner.run(1, run_of(broken["hang"], timeout_s=1.0))
    assert caught.value.kind == "Hung"
    assert psutil.Process().children() == []


def test_inputs_of_another_shape_are_the_networks_fault(runner, jobs, run_of):
    run = run_of(jobs["plain"], inputs=(wire.Tensor((1, 3), "float32", bytes(12)),))
    with pytest.raises(wire.Failure) as caught:
        runner.run(1, run)
    assert caught.value.kind == "Crashed"


def test_a_file_that_was_damaged_is_never_loaded(runner, broken, run_of):
    run = replace(run_of(broken["crash"]), sha256="0" * 64)
    with pytest.raises(wire.Failure, match="damaged on its way") as caught:
        runner.run(1, run)
    assert caught.value.kind == "BadFile"


def test_a_file_that_is_not_there(runner, jobs, run_of):
    with pytest.raises(wire.Failure, match="cannot be read") as caught:
        runner.run(1, replace(run_of(jobs["plain"]), library="/nowhere/x.so"))
    assert caught.value.kind == "BadFile"


def test_a_device_without_the_runtime_is_not_the_networks_fault(jobs, run_of):
    with pytest.raises(wire.Failure, match=r"/nowhere/libtvm_runtime\.so") as caught:
        Runner("/nowhere/libtvm_runtime.so", "/").run(1, run_of(jobs["plain"]))
    assert caught.value.kind == "NoRuntime"


def test_stopping_kills_the_child_at_work_and_starts_no_more(runner, broken, run_of):
    failures = []

    def work():
        try:
            runner.run(1, run_of(broken["hang"]))
        except wire.Failure as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    while not psutil.Process().children():
        os.sched_yield()
    runner.stop()
    thread.join(30)
    assert not thread.is_alive()
    with pytest.raises(wire.Failure, match="the agent is ending"):
        runner.run(2, run_of(broken["hang"]))
