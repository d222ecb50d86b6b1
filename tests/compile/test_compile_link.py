"""What links for a triple: the compiler that is there, a cross compiler, or zig; and what it is told."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from loading import NEON
from torch import nn

from joulefront.compile import link, versions
from joulefront.compile.compiler import TvmCompiler
from joulefront.errors import CompileError, ConfigError
from joulefront.records import Target

FOREIGN = "riscv64-linux-gnu"
ZIG = """
import sys
from pathlib import Path
if sys.argv[1] == "version":
    print("0.17.1")
elif sys.argv[1] == "cc":
    Path(sys.argv[sys.argv.index("-o") + 1]).write_text(" ".join(sys.argv[1:]))
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH; no zig is installed."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ziglang" else found(name))
    return folder


@pytest.fixture
def zig(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zig that writes what it was told where the library was to be."""
    package = tmp_path / "site/ziglang"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(ZIG, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "ziglang" or None)
    return package


def tool(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def compiled(target: Target, library: Path) -> bytes:
    torch.manual_seed(0)
    TvmCompiler(target).compile(nn.Sequential(nn.Linear(5, 3), nn.Tanh()).eval(), (torch.ones(1, 5),), library)
    return library.read_bytes()


def test_a_cross_compiler_comes_before_zig(tools: Path, zig: Path) -> None:
    gcc = tool(tools, f"{FOREIGN}-gcc", "echo gcc 1")
    assert link.linker(FOREIGN) == (gcc,)
    gxx = tool(tools, f"{FOREIGN}-g++", "echo g++ 2")
    assert link.linker(FOREIGN) == (gxx,)
    assert link.version((gxx,)) == "g++ 2"


def test_zig_links_for_an_old_library_of_the_system(zig: Path, tmp_path: Path) -> None:
    command = link.linker(NEON.triple)
    assert command[1:] == ("-m", "ziglang", "cc", "-target", "aarch64-linux-gnu.2.28")
    assert link.linker("aarch64-unknown-linux-gnu") == command
    assert TvmCompiler(NEON).key.endswith("linker=zig 0.17.1)")
    told = compiled(NEON, tmp_path / "model.so").decode().split()
    assert told[:2] == ["cc", "-target"]
    assert {"-shared", "-s", "-Wl,--build-id=none"} < set(told)
    assert link.warm(NEON.triple) >= 0


def test_zig_is_not_asked_for_what_it_is_not_known_to_link(zig: Path) -> None:
    for triple in ("aarch64-linux-musl", "aarch64-apple-darwin"):
        with pytest.raises(ConfigError, match=f"nothing here links for {triple}"):
            link.linker(triple)


def test_without_any_both_ways_to_get_one_are_named(tools: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        link.linker("aarch64-linux-gnu")
    assert "(Debian: apt install g++-aarch64-linux-gnu)" in str(caught.value)
    assert "pip install 'joulefront[cross]'" in str(caught.value)


def test_warming_up_links_something(tools: Path, tmp_path: Path) -> None:
    path = tool(tools, f"{FOREIGN}-g++", f"echo linked > {tmp_path / 'said'}")
    assert link.warm(FOREIGN) >= 0
    assert (tmp_path / "said").read_text(encoding="utf-8") == "linked\n"
    tool(tools, Path(path).name, "echo no room left >&2; exit 1")
    with pytest.raises(ConfigError, match=f"cannot link for {FOREIGN}: no room left"):
        link.warm(FOREIGN)


def test_a_cross_linker_that_fails_says_why(tools: Path, tmp_path: Path) -> None:
    tool(tools, "aarch64-linux-gnu-g++", "echo skipping incompatible libc >&2; exit 1")
    with pytest.raises(CompileError, match=r"aarch64-linux-gnu-g\+\+ cannot link: skipping incompatible libc"):
        compiled(NEON, tmp_path / "model.so")


class Exp(nn.Module):
    """A double exp, which glibc has a new version of since 2.29."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x.double()).float()


@pytest.mark.parametrize("way", ["gcc", "zig"])
def test_a_library_that_needs_a_newer_glibc_than_devices_have_is_linked_by_zig(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if platform.machine() == "aarch64" or shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("there is no aarch64-linux-gnu-g++, or it is no cross compiler")
    find = importlib.util.find_spec
    if way == "gcc":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ziglang" else find(name))
    elif find("ziglang") is None:
        pytest.skip("ziglang is not installed")
    compiler, library = TvmCompiler(NEON), tmp_path / "model.so"
    assert (" or zig" in compiler.key) == (way == "zig")
    example = (torch.ones(1, 5),)
    if way == "gcc":
        with pytest.raises(
            CompileError, match=r"needs GLIBC_2\.29 of libm\.so\.6, and theirs may be 2\.28\. zig links"
        ):
            compiler.compile(Exp().eval(), example, library)
        assert not library.exists()
    else:
        compiler.compile(Exp().eval(), example, library)
        assert "GLIBC_2.29" not in versions.needed(library)["libm.so.6"]


def test_what_a_library_needs_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text("double exp(double); double f(double x) { return exp(x); }\n", encoding="ascii")
    subprocess.run(["g++", "-x", "c", "-shared", "-fPIC", "-o", tmp_path / "x.so", tmp_path / "x.c", "-lm"], check=True)
    assert any(name.startswith("GLIBC_2.") for name in versions.needed(tmp_path / "x.so")["libm.so.6"])
    assert versions.needed(tmp_path / "x.c") == {}


@pytest.mark.parametrize("way", ["gcc", "zig"])
def test_two_cross_builds_are_the_same_bytes(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if platform.machine() == "aarch64":
        pytest.skip("aarch64 is this machine's own")
    if way == "zig":
        if importlib.util.find_spec("ziglang") is None:
            pytest.skip("ziglang is not installed")
        which = shutil.which
        monkeypatch.setattr("shutil.which", lambda name: None if name.startswith("aarch64") else which(name))
    elif shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("there is no aarch64-linux-gnu-g++")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    libraries = [compiled(NEON, tmp_path / name / f"{name}.so") for name in ("one", "two")]
    assert libraries[0] == libraries[1]
    is_aarch64 = b"\xb7\x00"
    assert libraries[0][:4] + libraries[0][18:20] == b"\x7fELF" + is_aarch64
    assert b".link-" not in libraries[0]
    assert b"lib0.o" not in libraries[0]
