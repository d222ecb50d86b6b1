"""Single functions that the board times: the figures are the emulator's, and say so."""

from pathlib import Path

import pytest
from test_board_faults import device
from virtual_board import Board

import odd_functions
from joulefront.bench import Bench
from joulefront.config import MeasureConfig
from joulefront.kernel_records import Argument, Function
from joulefront.records import Failure, FunctionTime

pytestmark = pytest.mark.board


@pytest.mark.parametrize("flush_b", [0, 1 << 20])
def test_functions_are_timed_and_one_that_crashes_is_named(board: Board, tmp_path: Path, flush_b: int) -> None:
    library, sha256 = odd_functions.library(tmp_path, "aarch64-linux-gnu-gcc")
    plain = (Argument((4,), "float32", True),)
    functions = [Function(name, plain) for name in ("quick", "crash", "slow")]
    with Bench(device(board, tmp_path), MeasureConfig(), 1) as bench:
        quick, crash, slow = bench.time_functions(
            library, sha256, functions, rounds=3, slice_s=0.02, limit_s=60.0, flush_b=flush_b
        )
    assert isinstance(crash, Failure)
    assert "SIGSEGV" in crash.message
    assert isinstance(quick, FunctionTime)
    assert isinstance(slow, FunctionTime)
    assert quick.provenance == slow.provenance == "simulated"
    assert 0 < quick.latency_s.value < slow.latency_s.value
    assert len(quick.rounds_s) == len(slow.rounds_s) == 3
