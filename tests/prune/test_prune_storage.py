"""Weights files: bit for bit what was stored, and short where there are zeros."""

from __future__ import annotations

import json
import struct

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from joulefront.prune.storage import parsed, serialised


def sparse(share: float, size: int = 4000) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, generator=generator).masked_fill(torch.rand(size, generator=generator) < share, 0.0)


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


ODD = sparse(0.9).reshape(4, 1000).clone()
ODD[0, :4] = torch.tensor([-0.0, float("nan"), float("inf"), -1e-45])

TENSORS = {
    "odd": ODD,
    "turned": sparse(0.9).reshape(40, 100).t(),
    "half": sparse(0.7).bfloat16(),
    "truths": torch.arange(9000) % 90 == 0,
    "numbers": torch.zeros(500, dtype=torch.long),
    "dense": torch.randn(300, generator=torch.Generator().manual_seed(1)),
    "empty": torch.zeros(0, 3),
    "one": torch.tensor(0),
    "few": torch.zeros(7),
}


def test_every_bit_comes_back() -> None:
    found = parsed(serialised(TENSORS))
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(found[name]) == bits(tensor), name


def test_the_file_is_what_its_description_says() -> None:
    """Any reader of safetensors sees a mask, values, and a shape for each sparse tensor, and the others as ever."""
    tensor = torch.zeros(20, 20)
    tensor[0, 1], tensor[0, 8], tensor[19, 19] = 2.0, 3.0, 4.0
    data = serialised({"layer.weight": tensor, "layer.bias": torch.ones(2)})
    assert data == serialised({"layer.weight": tensor.clone(), "layer.bias": torch.ones(2)})
    plain = safetensors.torch.load(data)
    assert set(plain) == {"layer.weight#mask", "layer.weight#values", "layer.bias"}
    assert plain["layer.weight#mask"].tolist() == [2, 1, *[0] * 47, 128]
    assert plain["layer.weight#values"].tolist() == [2.0, 3.0, 4.0]
    (size,) = struct.unpack("<Q", data[:8])
    assert json.loads(data[8 : 8 + size])["__metadata__"] == {"sparse": '{"layer.weight": [20, 20]}'}


def test_what_has_no_zeros_is_stored_as_ever() -> None:
    tensors = {"weight": torch.ones(100, 100), "few zeros": torch.zeros(20), "a tenth": sparse(0.01)}
    assert serialised(tensors) == safetensors.torch.save(tensors)


@pytest.mark.parametrize(("share", "at_most"), [(0.5, 0.55), (0.9, 0.14)])
def test_it_is_as_short_as_the_mask_and_the_values(share: float, at_most: float) -> None:
    tensor = sparse(share, 100_000)
    assert len(serialised({"weight": tensor})) < at_most * tensor.nbytes


@pytest.mark.parametrize(
    ("stored", "shapes"),
    [
        ({"a#mask": torch.zeros(1, dtype=torch.uint8)}, {"a": [8]}),
        ({"a#mask": torch.tensor([3], dtype=torch.uint8), "a#values": torch.ones(1)}, {"a": [8]}),
        ({"a#mask": torch.tensor([1], dtype=torch.uint8), "a#values": torch.ones(1)}, {"a": [8, 10**9]}),
        ({"a#mask": torch.tensor([1], dtype=torch.uint8), "a#values": torch.ones(1)}, {"a": "shape"}),
        ({"a": torch.ones(1)}, [1]),
    ],
)
def test_a_file_that_contradicts_itself_is_damaged(stored: dict[str, Tensor], shapes: object) -> None:
    with pytest.raises(SafetensorError, match="its zeros cannot be read"):
        parsed(safetensors.torch.save(stored, {"sparse": json.dumps(shapes)}))
