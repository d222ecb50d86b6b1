"""What kernels are tested for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tvm_ffi
from loading import TARGETS, WIDEST

from joulefront.compile.kernels import machine
from joulefront.records import Target


@pytest.fixture(params=[*TARGETS, "threads"])
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Each vector length on one thread, and the widest on two with every kernel in parallel, however small."""
    if request.param != "threads":
        return TARGETS[request.param]
    assert tvm_ffi.get_global_func("runtime.NumThreads")() == 2
    monkeypatch.setattr(machine, "SERIAL_MACS", 0)
    return replace(WIDEST, threads=2)
