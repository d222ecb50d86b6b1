"""ONNX files: what they leave open is fixed, what they compute is what ONNX Runtime computes, and what cannot be is said."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from loading import WIDEST, run
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx_files import node, noise, old, today, weight, write

from joulefront import measure as measuring
from joulefront.bench import outputs
from joulefront.compile.compiler import TvmCompiler
from joulefront.compile.onnx import shapes
from joulefront.compile.onnx.model import OnnxModel
from joulefront.errors import CompileError, ConfigError, JoulefrontError, TrainError
from joulefront.records import Array, Job
from joulefront_agent import wire


def loaded(path: Path, *given: str) -> OnnxModel:
    return OnnxModel.load(path, shapes.parsed(given))


def worst(model: OnnxModel, library: Path) -> float:
    """The largest error of what the compiled library gives, relative to each output's largest value."""
    TvmCompiler(WIDEST).compile_onnx(model, library)
    returned = run(library, [torch.from_numpy(part) for part in model.inputs])
    assert [tuple(one.shape) for one in returned] == [one.shape for one in model.outputs]
    return max(difference(one.numpy(), other) for one, other in zip(returned, model.outputs, strict=True))


def difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


def message(kind: type[JoulefrontError], path: Path, *given: str) -> str:
    with pytest.raises(kind) as caught:
        loaded(path, *given).imported()
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(path))
    return said


def test_what_exporters_of_today_write_computes_what_onnx_runtime_does(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = loaded(today(tmp_path / "m.onnx"), "x=1,8,10,4")
    assert model.signature == "x=1,8,10,4"
    assert worst(model, tmp_path / "m.so") < 1e-5
    assert capfd.readouterr() == ("", "")


def test_an_old_file_computes_what_it_did_then(tmp_path: Path) -> None:
    model = loaded(old(tmp_path / "m.onnx"))
    assert model.shapes == {"x": (1, 2, 4, 5)}
    assert worst(model, tmp_path / "m.so") < 1e-5


def test_the_reference_is_not_what_the_compiled_one_was_made_of(tmp_path: Path) -> None:
    """Upsampling by 2 between corners: the first row and column stay, as they do in no other mode."""
    path = write(
        tmp_path / "m.onnx",
        [node("Upsample", ["x", "s"], ["y"], mode="linear")],
        [1, 1, 2, 2],
        [weight("s", np.array([1, 1, 2, 2], np.float32))],
        opset=9,
    )
    model = loaded(path)
    assert np.array_equal(model.outputs[0][..., ::2, ::2], model.inputs[0])


def test_external_weights_are_read_and_only_from_beside_the_model(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = today(inside / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert loaded(path, "x=1,8,10,4").key == loaded(today(tmp_path / "m.onnx"), "x=1,8,10,4").key
    (inside / "weights.bin").rename(tmp_path / "ghts.bin")
    assert "put it beside the model" in message(ConfigError, path, "x=1,8,10,4")
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"../ghts.bin"))
    assert "its weights lie in another file" in message(ConfigError, path, "x=1,8,10,4")


def test_the_key_is_of_what_is_computed_at_these_shapes(tmp_path: Path) -> None:
    path = today(tmp_path / "m.onnx")
    first = loaded(path, "x=1,8,10,4").key
    model = onnx.load(path)
    model.producer_name, model.graph.node[0].doc_string = "somebody", "from /home/somebody"
    onnx.save(model, path)
    assert loaded(path, "x=1,8,10,4").key == first
    assert loaded(path, "x=1,10,8,4").key != first
    model.graph.initializer[0].raw_data = b"\0" * len(model.graph.initializer[0].raw_data)
    onnx.save(model, path)
    assert loaded(path, "x=1,8,10,4").key != first


@pytest.mark.parametrize(
    ("shape", "given", "said"),
    [
        (["N", 3, "H", "?"], (), "x has open dimensions: N,3,H,?. Say what shape is to be measured: --shape x=1,3,N,N"),
        (None, (), "not even their number is known"),
        ([1, 3, 4, 4], ("x=1,3,4,5",), "--shape x=1,3,4,5 is no shape of x, whose dimensions are 1,3,4,4"),
        ([None, 3], ("x=1,3,1",), "is no shape of x"),
        (["A", "A"], ("x=2,3",), "is no shape of x"),
        ([None, 3], ("z=1,3",), "no such input, but x"),
    ],
)
def test_what_stays_open_is_asked_for_and_never_guessed(
    tmp_path: Path, shape: Sequence[Any], given: Sequence[str], said: str
) -> None:
    path = write(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], shape)
    assert said in message(ConfigError, path, *given)


@pytest.mark.parametrize("text", ["x", "x=", "=1,2", "x=1,0", "x=1,-1", "x=1;2", "x=²"])
def test_a_shape_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected an input's name and its shape, such as x=1,3,48,192"):
        shapes.parsed([text])


def test_names_of_inputs_may_hold_anything_and_names_of_dimensions_stand_for_one_number(tmp_path: Path) -> None:
    assert shapes.parsed(["a=b:0=1,2"]) == {"a=b:0": (1, 2)}
    other = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", "T"])
    path = write(tmp_path / "m.onnx", [node("Add", ["x", "z"], ["y"])], ["N", "T"], others=[other])
    assert loaded(path, "x=2,5").shapes == {"x": (2, 5), "z": (2, 5)}


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (
            [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2, name="cell")],
            "TVM has no operator for LSTM (node cell)",
        ),
        ([node("Relu", ["x"], ["y"], domain="com.microsoft", name="own")], "com.microsoft.Relu (node own)"),
        ([node("Frobnicate", ["x"], ["y"])], "opset 17 has no such operators: Frobnicate (node that makes y)"),
        (
            [node("NonZero", ["x"], ["i"], name="found"), node("Cast", ["i"], ["y"], to=1)],
            "NonZero (node found): ValueError: the shape",
        ),
        (
            [node("QuantizeLinear", ["x", "s"], ["q"], name="q8"), node("DequantizeLinear", ["q", "s"], ["y"])],
            "it is quantised, as QuantizeLinear (node q8) shows",
        ),
        (
            [node("Resize", ["x", "", "p"], ["y"], name="up")],
            "Resize (node up): ValueError: its scales [1.0, 1.0, 1.5]",
        ),
        ([node("Relu", ["nowhere"], ["y"])], "ONNX Runtime, which it is compared with, cannot load it"),
    ],
)
def test_an_operator_that_cannot_be_compiled_is_named_with_its_node(
    tmp_path: Path, nodes: Sequence[onnx.NodeProto], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = [
        weight("w", noise(1, 8, 3)),
        weight("r", noise(1, 8, 2)),
        weight("s", np.float32(0.1)),
        weight("p", np.array([1, 1, 1.5], np.float32)),
    ]
    path = write(tmp_path / "m.onnx", nodes, [4, 1, 3], weights, domains=["com.microsoft"])
    assert said in message(CompileError, path)
    assert capfd.readouterr() == ("", "")


def test_other_types_than_float32_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], [1, 3], dtype=TensorProto.FLOAT16)
    assert "the input x is float16; only float32 models are compiled" in message(CompileError, path)
    half = weight("w", np.ones(3, np.float16))
    nodes = [node("Cast", ["w"], ["c"], to=TensorProto.FLOAT), node("Mul", ["x", "c"], ["y"])]
    assert "the weight w is float16" in message(CompileError, write(tmp_path / "m.onnx", nodes, [1, 3], [half]))


def test_a_file_that_is_no_onnx_model_is_said_to_be_none(tmp_path: Path) -> None:
    whole = today(tmp_path / "whole.onnx").read_bytes()
    path = tmp_path / "m.onnx"
    assert "cannot be read: No such file or directory" in message(ConfigError, path)
    for data in (whole[: len(whole) // 2], b"PK\3\4 a zip file", struct.pack("<I", 7) * 40, b"# text"):
        path.write_bytes(data)
        assert "is no ONNX" in message(ConfigError, path)
    path.write_bytes(b"")
    assert "has no operators" in message(ConfigError, path)
    path.unlink()
    path.mkdir()
    assert "cannot be read: Is a directory" in message(ConfigError, path)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'joulefront[onnx]'" in message(ConfigError, tmp_path / "m.onnx")


def test_an_input_is_found_whose_outputs_tell_something(tmp_path: Path) -> None:
    root = write(tmp_path / "m.onnx", [node("Log", ["x"], ["y"])], [1, 9])
    assert loaded(root).inputs[0].min() >= 0  # of noise around 0 it has no finite outcome
    never = [node("Mul", ["x", "o"], ["z"]), node("Log", ["z"], ["y"])]
    path = write(tmp_path / "m.onnx", never, [1, 9], [weight("o", np.float32(0))])
    assert "not finite" in message(TrainError, path)
    table = [node("Gather", ["w", "x"], ["y"])]
    path = write(tmp_path / "m.onnx", table, [1, 2], [weight("w", np.arange(1))], dtype=TensorProto.INT64)
    assert loaded(path).inputs[0].tolist() == [[0, 0]]  # the table's only row


class FakeBench:
    """A bench that runs a job's library in this process, and compares."""

    ran: Job

    def __init__(self, *_: object) -> None:
        self.target = WIDEST

    def __enter__(self) -> FakeBench:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass

    def measure(self, job: Job, grade: str, tell: object) -> str:
        FakeBench.ran = job
        returned = run(job.library, [torch.from_numpy(array(part).copy()) for part in job.inputs])
        shipped = [wire.Tensor(tuple(one.shape), "float32", one.numpy().tobytes()) for one in returned]
        outputs.check(job.label, job.expected, shipped, job.reference)
        return grade


def array(part: Array) -> NDArray[Any]:
    return np.frombuffer(part.data, part.dtype).reshape(part.shape)


class Silent:
    """A listener."""

    def stage(self, what: str) -> None:
        """See Listener."""

    def doing(self, what: str) -> None:
        """See Listener."""


def test_measure_takes_a_file_as_it_takes_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEFRONT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measuring, "Bench", FakeBench)
    path = write(tmp_path / "Net.ONNX", [node("Clip", ["x", "o"], ["y"])], ["N", "T"], [weight("o", np.float32(0))])
    measured: Any = measuring.measure(str(path), "local", 1, Silent(), ["x=1,7"])  # type: ignore[arg-type]
    artifact, graded = measured
    assert graded == "full"
    assert [one.kernel for one in artifact.composition.kernels] == []
    assert FakeBench.ran.inputs[0].shape == (1, 7)
    assert (FakeBench.ran.label, FakeBench.ran.reference) == (str(path), "ONNX Runtime")
    monkeypatch.setattr(TvmCompiler, "compile_onnx", None)  # the second time it is in the cache
    measuring.measure(str(path), "local", 1, Silent(), ["x=1,7"])  # type: ignore[arg-type]


def test_a_task_has_no_shape_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"--shape x=1: only an ONNX file's shapes can be chosen"):
        measuring.measure("digits", "local", 1, Silent(), ["x=1"])  # type: ignore[arg-type]
