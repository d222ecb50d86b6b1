"""The agent's child processes: what they return, and what is said of those that don't."""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from time import monotonic

import psutil
import pytest

from joulefront.bench.local import _runtime
from joulefront_agent import wire
from joulefront_agent.runner import Runner
from joulefront_agent.wire_energy import Watch


@pytest.fixture
def runner():
    runner = Runner(str(_runtime()), "/")
    yield runner
    runner.stop()


def floats(tensor):
    return struct.unpack(f"<{len(tensor.data) // 4}f", tensor.data)


def test_a_network_runs_is_sampled_and_returns_what_torch_gave(runner, jobs, run_of, monkeypatch):
    job, clock = jobs["plain"], iter([10.0, 12.5])
    monkeypatch.setattr("joulefront_agent.runner.window.raw_s", lambda: next(clock))
    ran = runner.run(1, run_of(job))
    assert [tensor.shape for tensor in ran.outputs] == [(1, 10)]
    assert floats(ran.outputs[0]) == pytest.approx(floats(job.expected[0]), rel=1e-4, abs=1e-5)
    assert len(ran.samples_s) >= 5
    assert all(0 < sample < 1 for sample in ran.samples_s)
    assert ran.window is None
    assert ran.took_s == 2.5  # by the agent's clock, from before the child began
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
    before = set(psutil.Process().children())
    with pytest.raises(wire.Failure, match="not answered after 1 s") as caught:
        runner.run(1, run_of(broken["hang"], timeout_s=1.0))
    assert caught.value.kind == "Hung"
    assert set(psutil.Process().children()) <= before


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

    before = set(psutil.Process().children())
    thread = threading.Thread(target=work)
    thread.start()
    deadline_s = monotonic() + 30
    while not (started := set(psutil.Process().children()) - before):
        assert monotonic() < deadline_s
        os.sched_yield()
    runner.stop()
    psutil.wait_procs(started, timeout=30)
    assert not any(process.is_running() for process in started)
    thread.join(30)
    assert not thread.is_alive()
    with pytest.raises(wire.Failure, match="the agent is ending"):
        runner.run(2, run_of(broken["hang"]))


def test_a_signal_without_a_name_is_reported_too(runner, broken, run_of):
    with pytest.raises(wire.Failure, match=f"died of signal {signal.SIGRTMIN + 1}"):
        runner.run(1, run_of(broken["realtime"]))


PLACES = """
import json, os, sys
from joulefront_agent.network import Network
runtime, library, cores, pin = json.loads(sys.argv[1])
Network(runtime, library, ()).use(cores, pin)
print(json.dumps([sorted(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")]))
"""


def places(job, cores, pin):
    """Where each of a process's threads may run, once its network has been given ``cores``."""
    given = json.dumps([str(_runtime()), str(job.library), cores, pin])
    # The runtime's own variables say otherwise, and are not asked.
    environment = {**os.environ, "TVM_NUM_THREADS": "7", "TVM_BIND_THREADS": "0"}
    command = [sys.executable, "-c", f"import sys; sys.modules['torch'] = None\n{PLACES}", given]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)


@pytest.mark.parametrize("count", [1, 2])
def test_threads_are_pinned_to_the_cores_that_were_picked(jobs, count):
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < count:
        pytest.skip("too few cores")
    picked = allowed[::-1][:count]  # by itself, the runtime begins with the lowest
    tied = [place for place in places(jobs["plain"], picked, True) if place != allowed or len(allowed) == 1]
    assert sorted(tied) == sorted([core] for core in picked)


def test_threads_that_are_not_pinned_may_run_anywhere(jobs):
    allowed = sorted(os.sched_getaffinity(0))
    alone, all_of_them = (places(jobs["plain"], allowed[:count], False) for count in (1, len(allowed)))
    assert all(place == allowed for place in alone + all_of_them)
    assert len(all_of_them) - len(alone) == len(allowed) - 1


def test_a_device_is_watched_idle_or_busy_and_left_alone_again(runner):
    before = set(psutil.Process().children(recursive=True))
    for busy in (0, 1):
        watched = runner.watch(1, Watch((), busy, 0.2, 0, 0.2, 60.0))
        assert watched.window.end_s - watched.window.begin_s >= 0.2
        assert (watched.window.inferences, watched.window.readings) == (0, ())
        assert watched.after["cpu_total_s"] >= watched.before["cpu_total_s"]
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_watch_without_its_meter_is_an_error_and_one_that_does_not_end_is_late(runner):
    with pytest.raises(wire.Failure) as caught:
        runner.watch(1, Watch(("hwmon:none",), 0, 0.1, 0, 0.1, 60.0))
    assert caught.value.kind == "MeterError"
    with pytest.raises(wire.Failure) as caught:
        runner.watch(1, Watch((), 1, 60.0, 0, 60.0, 0.5))
    assert caught.value.kind == "Hung"
