"""The size that zlib makes of a library, block by block."""

import zlib
from pathlib import Path

import numpy as np

from joulefront.compile.packed import packed_b


def test_it_is_what_zlib_makes_of_the_whole_file_and_zeros_pay(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal(300_000).astype("<f4")  # more than a block
    (tmp_path / "dense.so").write_bytes(weights.tobytes())
    weights[::2] = 0
    (tmp_path / "sparse.so").write_bytes(weights.tobytes())
    dense, sparse = (packed_b(tmp_path / name) for name in ("dense.so", "sparse.so"))
    assert dense == len(zlib.compress((tmp_path / "dense.so").read_bytes(), 6))
    assert sparse < 0.65 * dense
    (tmp_path / "empty.so").touch()
    assert packed_b(tmp_path / "empty.so") > 0
