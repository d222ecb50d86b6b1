"""A network in the real runtime, and a clock that is set back while it runs."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import tvm
from torch import nn

from joulefront.bench.target import target_of
from joulefront.compile.compiler import TvmCompiler
from joulefront_agent import machine
from joulefront_devices.device import Device

CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int looks = -1000000;
int clock_gettime(clockid_t id, struct timespec *now) {
  int status = (int)syscall(SYS_clock_gettime, id, now);
  if (id == CLOCK_REALTIME && ++looks == 2) now->tv_sec -= 100;
  return status;
}
"""
RUN = """
import ctypes, json, struct, sys
from joulefront_agent.network import Network
from joulefront_agent.wire import Tensor
network = Network(sys.argv[1], sys.argv[2], (Tensor((1, 5), "float32", bytes(20)),))
looks = ctypes.c_int.in_dll(ctypes.CDLL(sys.argv[3]), "looks")
looks.value = 0
ran = network.run(10)
print(json.dumps([ran, looks.value]))
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="the clock is the system library's")
def test_no_inference_runs_uncounted_when_the_clock_is_set_back(tmp_path):
    source, clock, library = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "network.so"
    source.write_text(CLOCK)
    subprocess.run(["g++", "-x", "c", "-shared", "-fPIC", "-o", clock, source], check=True)
    target = target_of(Device(name="here"), machine.facts(Path("/"), "none"), 1)
    TvmCompiler(target).compile(nn.Sequential(nn.Linear(5, 3)).eval(), (torch.ones(1, 5),), library)
    runtime = Path(tvm.__file__).parent / "lib/libtvm_runtime.so"
    command = [sys.executable, "-c", RUN, runtime, library, clock]
    done = subprocess.run(command, env={**os.environ, "LD_PRELOAD": str(clock)}, capture_output=True, check=True)
    assert json.loads(done.stdout) == [11, 2]  # four looks would be twenty inferences
