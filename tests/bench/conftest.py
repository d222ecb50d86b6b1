"""Real libraries to run: small networks compiled by stock TVM, and libraries in C that misbehave while they are loaded."""

import hashlib
import subprocess
import sys
import warnings
from pathlib import Path
from time import monotonic

import pytest

from joulefront.bench.bench import Bench
from joulefront.config import MeasureConfig
from joulefront.records import Array, Job
from joulefront_agent import wire
from joulefront_devices.device import Device
from joulescopes import Plugged

MISBEHAVIOURS = {
    "crash": "*(volatile int *)0 = 1;",
    "hang": "for (;;) ;",
    "killed": "kill(getpid(), SIGKILL);",
    "realtime": "kill(getpid(), SIGRTMIN + 1);",
    "exit": 'fputs("I give up\\n", stderr); exit(3);',
    "chatter": 'puts("{\\"id\\": 1, \\"ok\\": {}}"); fflush(stdout);',
}


@pytest.fixture(autouse=True)
def _own_locks(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="session")
def jobs(tmp_path_factory):
    """Networks as jobs: one output, two outputs, outputs that are NaN, and one that needs 4 GB."""
    import torch
    from torch import nn

    class Two(nn.Module):
        def forward(self, x):
            return torch.relu(x), x * 2

    class Root(nn.Module):
        def forward(self, x):
            return torch.sqrt(x)

    class Huge(nn.Module):
        def forward(self, x):
            return torch.cumsum(x.expand(1 << 26, 16) + x, 0)[0]

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("networks")
    plain = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
    x = torch.randn(1, 16)
    with torch.no_grad():
        return {
            "plain": compiled(folder, "plain", plain, x, plain(x)),
            "two": compiled(folder, "two", Two(), x, Two()(x)),
            "nan": compiled(folder, "nan", Root(), -x.abs(), x),
            "huge": compiled(folder, "huge", Huge(), x, x[0]),
        }


def compiled(folder, label, model, x, expected):
    import torch
    import tvm
    from tvm.relax.frontend.torch import from_exported_program

    library = folder / f"{label}.so"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, (x,))
        module = from_exported_program(program, unwrap_unit_return_tuple=True)
        tvm.compile(module, target=tvm.target.Target({"kind": "llvm"})).export_library(str(library))
    outputs = expected if isinstance(expected, tuple) else (expected,)
    return job_of(label, library, (array(x),), tuple(map(array, outputs)))


def array(tensor):
    return Array(tuple(tensor.shape), "float32", tensor.contiguous().numpy().tobytes())


def job_of(label, library, inputs=(), expected=()):
    return Job(label, library, hashlib.sha256(library.read_bytes()).hexdigest(), inputs, expected)


@pytest.fixture(scope="session")
def broken(tmp_path_factory):
    """Libraries as jobs that do what their name says as soon as they are loaded."""
    folder = tmp_path_factory.mktemp("broken")
    return {name: job_of(name, c_library(folder / f"{name}.so", code)) for name, code in MISBEHAVIOURS.items()}


def c_library(path: Path, code: str) -> Path:
    includes = "".join(f"#include <{name}.h>\n" for name in ("signal", "stdio", "stdlib", "unistd"))
    source = f"{includes}__attribute__((constructor)) static void loaded(void) {{ {code} }}\n"
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True)
    return path


@pytest.fixture
def run_of():
    """Makes a request to run a job quickly."""

    def make(job, **changes):
        values = {
            "library": str(job.library),
            "sha256": job.sha256,
            "inputs": tuple(wire.Tensor(array.shape, array.dtype, array.data) for array in job.inputs),
            "threads": 1,
            "pin_threads": False,
            "outputs": True,
            "warm_up_s": 0.2,
            "sample_s": 0.0,
            "samples": 5,
            "sample_limit_s": 1.0,
            "energy_s": 0.0,
            "periods": 0,
            "energy_limit_s": 0.0,
            "meters": (),
            "timeout_s": 60.0,
        }
        return wire.Run(**{**values, **changes})

    return make


@pytest.fixture
def open_bench(monkeypatch):
    """Opens a bench on a machine that has a scripted ``transport``; it takes three repeats if not told otherwise."""
    monkeypatch.setattr("joulefront.bench.settle.settle.__defaults__", (monotonic, lambda seconds: None))

    def opened(machine, **config):
        monkeypatch.setattr("joulefront.plugins.build", lambda *args, **kwargs: machine.transport)
        return Bench(Device(name="scripted"), MeasureConfig(**{"repeats": 3, **config}), 1)

    return opened


@pytest.fixture
def plug(monkeypatch):
    """Instruments plugged in, in virtual time."""

    def plugged(*instruments, generation="2.5"):
        made = Plugged(*instruments, generation=generation)
        monkeypatch.setitem(sys.modules, "pyjoulescope_driver", made.driver)
        made.in_virtual_time(monkeypatch)
        return made

    return plugged
