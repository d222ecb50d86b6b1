"""An exported folder at work: with a bare Python, in torch and in onnxruntime; and what it says when it cannot."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from joulefront import ship
from joulefront.export.onnx import as_onnx
from shippable import PRUNED, bare, write_shippable
from simulated import Silent

Shipped = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the user's model."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def shipped(user: Path, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """The pruned network in a folder, and the document."""
    out = tmp_path_factory.mktemp("shipped") / "ship"
    return out, ship.ship(write_shippable(user), str(PRUNED), out, Silent())


@pytest.fixture
def copy(shipped: Shipped, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    return Path(shutil.copytree(shipped[0], tmp_path / "copy"))


def stored(folder: Path, name: str) -> np.ndarray[Any, Any]:
    return safetensors.numpy.load_file(folder / "check.safetensors")[name]


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shipped_{path.stem}", path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)
        spec.loader.exec_module(loaded)
    sys.modules.pop("pruned_layers", None)
    return loaded


@pytest.fixture
def _no_bytecode() -> Iterator[None]:
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    yield
    sys.dont_write_bytecode = before


def test_it_runs_with_a_bare_python_and_gives_torchs_output(shipped: Shipped, tmp_path: Path) -> None:
    out, _ = shipped
    checked = bare(out)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "outputs agree with torch's" in checked.stdout
    assert "no benchmark" in checked.stdout
    image = stored(out, "input0")
    np.save(tmp_path / "image.npy", image)
    (tmp_path / "image.raw").write_bytes(image.tobytes())
    for name in ("image.npy", "image.raw"):
        ran = bare(out, str(tmp_path / name))
        assert (ran.returncode, ran.stderr) == (0, "")
        expected = stored(out, "output0")
        assert np.abs(np.array(json.loads(ran.stdout)) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_it_says_how_it_is_used(shipped: Shipped) -> None:
    helped = bare(shipped[0], "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "python3 run.py FILE" in helped.stdout


@pytest.mark.parametrize("name", ["network.py", "run.py", "rebuild.py", "pruned_layers.py"])
def test_the_scripts_are_python_3_9(shipped: Shipped, name: str) -> None:
    ast.parse((shipped[0] / name).read_text(), feature_version=(3, 9))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((1, 1, 8, 8), np.float64), "expected float32 of shape [1, 1, 8, 8], 256 bytes, not 512 bytes"),
        (np.zeros((1, 8, 8, 1), np.float32), "not 256 bytes in the format 'f' of shape [1, 8, 8, 1]"),
        (np.zeros((1, 1, 8, 8), np.int32), "not 256 bytes in the format 'i'"),
        (np.asfortranarray(np.zeros((1, 1, 8, 8), np.float32).reshape(8, 8)), "numpy.ascontiguousarray"),
        (np.zeros((1, 1, 8, 8), ">f4"), "numpy.ascontiguousarray"),
    ],
)
def test_another_input_is_one_message(shipped: Shipped, tmp_path: Path, array: np.ndarray[Any, Any], said: str) -> None:
    np.save(tmp_path / "image.npy", array)
    ran = bare(shipped[0], str(tmp_path / "image.npy"))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff(",
        b"\x93NUMPY\x01\x00\x10\x00[().__class__()]",
        b"\x93NUMPY\x01\x00\xff\xff" + b"-" * 0xFFFF,
        b"\x93NUMPY\x01\x00\x4d\x00{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000000000000,)}data",
        b"abc",
    ],
)
def test_a_file_that_is_no_input_is_one_message(shipped: Shipped, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npy").write_bytes(content)
    for arguments in ([str(tmp_path / "bad.npy")], [str(tmp_path / "absent.npy")], ["/dev/null", "/dev/null"]):
        ran = bare(shipped[0], *arguments)
        assert ran.returncode == 1
        assert ran.stderr.startswith("run.py: ")
        assert ran.stderr.count("\n") == 1


def _other_machine(folder: Path) -> str:
    card = json.loads((folder / "card.json").read_text())
    card["target"]["architecture"] = "riscv64"
    (folder / "card.json").write_text(json.dumps(card))
    return "is for 64-bit Linux on riscv64 with glibc 2.28 or later"


def _damaged(folder: Path) -> str:
    with (folder / "model.so").open("ab") as file:
        file.write(b"x")
    return "model.so is not there as it was exported: copy the whole folder again"


def _missing(folder: Path) -> str:
    (folder / "libtvm_runtime.so").unlink()
    return "libtvm_runtime.so is not there as it was exported"


def _listed(folder: Path, name: str) -> None:
    """Make the card agree with a file that was changed."""
    card = json.loads((folder / "card.json").read_text())
    card["files"][name]["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def _not_loadable(folder: Path) -> str:
    """As on a system with an older C library."""
    (folder / "libtvm_runtime.so").write_bytes(b"no library")
    _listed(folder, "libtvm_runtime.so")
    return "libtvm_runtime.so: file too short; it needs 64-bit Linux"


def _other_output(folder: Path) -> str:
    arrays = safetensors.numpy.load_file(folder / "check.safetensors")
    arrays["output0"][0, 0] += np.abs(arrays["output0"]).max()
    safetensors.numpy.save_file(arrays, folder / "check.safetensors")
    _listed(folder, "check.safetensors")
    return "0.0001 is allowed"


def _no_number(folder: Path) -> str:
    arrays = safetensors.numpy.load_file(folder / "check.safetensors")
    arrays["output0"][0, 1] = np.nan
    safetensors.numpy.save_file(arrays, folder / "check.safetensors")
    _listed(folder, "check.safetensors")
    return "differ from torch's by inf"


def _cut_short(name: str, lost_b: int) -> Callable[[Path], str]:
    """As a copy that was interrupted."""

    def harm(folder: Path) -> str:
        (folder / name).write_bytes((folder / name).read_bytes()[:-lost_b])
        return f"{name} is not there as it was exported: copy the whole folder again"

    return harm


def _no_card(folder: Path) -> str:
    (folder / "card.json").unlink()
    return "card.json"


@pytest.mark.parametrize(
    "harm",
    [
        _other_machine,
        _damaged,
        _missing,
        _not_loadable,
        _other_output,
        _no_number,
        _no_card,
        _cut_short("card.json", 500),
        _cut_short("check.safetensors", 3),
        _cut_short("check.safetensors", 4),
    ],
)
def test_a_folder_that_cannot_run_says_why(copy: Path, harm: Any) -> None:
    said = harm(copy)
    ran = bare(copy)
    assert ran.returncode == 1
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert "agree" not in ran.stdout


@pytest.mark.usefixtures("_no_bytecode")
def test_the_users_own_model_is_rebuilt(user: Path, shipped: Shipped) -> None:
    out, _ = shipped
    rebuild, model = module(out / "rebuild.py").rebuild, module(user / "model.py")
    whole = model.net()
    small = rebuild(whole)
    with torch.no_grad():
        returned = small(torch.from_numpy(stored(out, "input0"))).numpy()
    expected = stored(out, "output0")
    assert np.abs(returned - expected).max() <= 1e-4 * np.abs(expected).max()
    assert (small[0].out_channels, small[1].num_features, small[3].groups, small[6].in_features) == (8, 8, 8, 128)
    assert whole[0].out_channels == 16


@pytest.mark.usefixtures("_no_bytecode")
@pytest.mark.parametrize("name", ["weights.safetensors", "check.safetensors"])
def test_a_damaged_file_is_not_blamed_on_the_model(user: Path, copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[-1] ^= 0x40
    (copy / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} is not there as it was exported"):
        module(copy / "rebuild.py").rebuild(module(user / "model.py").net())


@pytest.mark.usefixtures("_no_bytecode")
def test_another_model_is_refused(shipped: Shipped) -> None:
    with pytest.raises(ValueError, match="these are the weights of another model: 9 names differ, such as"):
        module(shipped[0] / "rebuild.py").rebuild(nn.Sequential(nn.Conv2d(1, 16, 3)))


def test_onnx_gives_the_same_and_holds_nothing_of_this_host(user: Path, shipped: Shipped) -> None:
    import onnxruntime

    out, document = shipped
    assert document["onnx"]["verified_by"] == f"onnxruntime {onnxruntime.__version__}"
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    (returned,) = session.run(["output0"], {"input0": stored(out, "input0")})
    expected = stored(out, "output0")
    assert np.abs(returned - expected).max() <= 1e-4 * np.abs(expected).max()
    assert str(user).encode() not in (out / "model.onnx").read_bytes()
    assert b"site-packages" not in (out / "model.onnx").read_bytes()


class Branching(nn.Module):
    """One whose ONNX has graphs within its graph."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen: torch.Tensor = torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))
        return chosen


def test_nor_do_the_branches_of_onnx_hold_anything_of_this_host() -> None:
    data, _ = as_onnx(Branching().eval(), (torch.ones(2),), inputs=["input0"], outputs=["output0"])
    assert Path(__file__).name.encode() not in data
