"""What cannot be compiled says what it is and what to do, in one line, and nothing else is printed."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch
from loading import WIDEST
from torch import Tensor, nn

from joulefront.compile import fold, link
from joulefront.compile.compiler import TvmCompiler
from joulefront.compile.target import tvm_target
from joulefront.errors import CompileError, ConfigError
from joulefront.records import Target


class Branching(nn.Module):
    """Its path depends on the input's values."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        return x


class Spectrum(nn.Module):
    """An operator that TVM does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x).real


class Masked(nn.Module):
    """An output whose shape depends on the input's values."""

    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class Misfit(nn.Module):
    """A layer that the input does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x)
        return y


class Constants(nn.Module):
    """What can be computed from its weights alone is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([-1.0, 0.0, 1e30, 1.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sqrt(self.scale) / (self.scale * self.scale)


def message(model: nn.Module, folder: Path, target: Target = WIDEST, x: Tensor | None = None) -> str:
    with pytest.raises(CompileError) as caught:
        TvmCompiler(target).compile(model.eval(), (torch.ones(1, 5) if x is None else x,), folder / "model.so")
    assert list(folder.iterdir()) == []
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_control_flow_on_values_names_the_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = message(Branching(), tmp_path)
    assert "values of a tensor" in said
    assert "test_compile_errors.py" in said
    assert "`if x.sum() > 0:`" in said
    assert "torch.where" in said
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_is_not_there_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "aten._fft_r2c.default" in message(Spectrum(), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_an_error_in_forward_names_the_line_and_the_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = message(Misfit(), tmp_path)
    assert "Misfit cannot be exported" in said
    assert "[1, 5] X [3, 4]" in said
    assert capfd.readouterr() == ("", "")


def test_an_import_that_fails_half_way_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "Masked cannot be imported into TVM: TypeError: Take op" in message(Masked(), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_pass_that_fails_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OverflowError("too much")

    monkeypatch.setitem(fold._FOLDED, "relax.multiply", fail)
    said = message(Constants(), tmp_path)
    assert said.startswith(f"TVM cannot compile Constants for {WIDEST.cpu}: ")
    assert said.endswith("too much")
    assert capfd.readouterr() == ("", "")


def test_constants_that_are_not_finite_are_folded_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    TvmCompiler(WIDEST).compile(Constants().eval(), (torch.ones(1, 5),), tmp_path / "model.so")
    assert [str(warning.message) for warning in recwarn] == []
    assert capfd.readouterr() == ("", "")


def test_other_types_than_float32_are_refused(tmp_path: Path) -> None:
    assert "fc.weight is float16" in message(Misfit().half(), tmp_path)
    assert "input 0 is float64" in message(Misfit(), tmp_path, x=torch.ones(1, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("triple", "cpu", "features", "said"),
    [
        ("x86_64-linux-gnu", "x86-64-v5", (), "did you mean x86-64-v"),
        ("aarch64-linux-gnu", "cortex-a721", (), "did you mean cortex-a72"),
        ("pdp11-linux-gnu", "generic", (), "pdp11-linux-gnu"),
        ("x86_64-linux-gnu", "x86-64-v3", ("+fma", "+nosuch"), r"no feature 'nosuch'"),
        ("x86_64-linux-gnu", "x86-64-v3", ("-nosuch",), "no feature 'nosuch'"),
        ("x86_64-linux-gnu", "x86-64-v3", ("avxvnni",), r"\+avxvnni or -avxvnni"),
        ("x86_64-linux-gnu", "x86-64-v3", ("",), "feature ''"),
    ],
)
def test_a_target_that_llvm_does_not_know(
    triple: str, cpu: str, features: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=said):
        TvmCompiler(Target(triple, cpu, features, 4, 32))
    assert capfd.readouterr() == ("", "")


def test_features_may_be_added_and_taken_away(capfd: pytest.CaptureFixture[str]) -> None:
    tvm_target(Target("x86_64-linux-gnu", "x86-64-v3", ("+avxvnni", "-avx2", "-avx512f", "+prefer-256-bit"), 8, 16))
    tvm_target(Target("aarch64-linux-gnu", "generic", ("+neon", "+sve", "-crc"), 4, 32))
    assert capfd.readouterr() == ("", "")


def test_without_a_linker_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # no zig either
    with pytest.raises(ConfigError, match=r"apt install g\+\+\)"):
        TvmCompiler(Target(f"{platform.machine()}-linux-gnu", WIDEST.cpu, (), 16, 32))


def test_a_linker_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", fake_linker(tmp_path / "tools", "echo cannot find crti.o, in $LC_ALL >&2; exit 1"))
    assert "c++ cannot link: cannot find crti.o, in C" in message(nn.Linear(5, 3), out)


def test_the_linker_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert link.version(link.linker(WIDEST.triple)) in TvmCompiler(WIDEST).key
    monkeypatch.setenv("PATH", fake_linker(tmp_path, "echo Linker 1.2; echo of a firm"))
    assert TvmCompiler(WIDEST).key.endswith("linker=Linker 1.2)")


def fake_linker(folder: Path, script: str) -> str:
    """A folder, for the PATH, in which c++ is a shell script."""
    folder.mkdir(exist_ok=True)
    (folder / "c++").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "c++").chmod(0o755)
    return str(folder)
