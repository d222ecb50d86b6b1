"""A weights file that says which network it is of: nothing else of it changes."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import torch

from joulefront.export.weights import with_widths
from joulefront.prune.storage import parsed, serialised


def test_the_widths_come_beside_what_is_said_of_zeros(tmp_path: Path) -> None:
    tensors = {"conv.weight": torch.zeros(40, 50), "conv.bias": torch.arange(3).bfloat16(), "steps": torch.tensor(7)}
    tensors["conv.weight"][3, 4] = 2.0
    data = with_widths(serialised(tensors), {"conv": 40})
    assert int.from_bytes(data[:8], "little") % 8 == 0
    (tmp_path / "weights.safetensors").write_bytes(data)
    with safetensors.safe_open(tmp_path / "weights.safetensors", "pt") as stored:
        about = stored.metadata()
        assert set(stored.keys()) == {"conv.weight#mask", "conv.weight#values", "conv.bias", "steps"}
    assert json.loads(about["widths"]) == {"conv": 40}
    assert json.loads(about["sparse"]) == {"conv.weight": [40, 50]}
    found = parsed(data)
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
