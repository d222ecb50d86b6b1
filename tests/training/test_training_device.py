"""Where training computes; what a GPU computes is for a machine that has one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from joulefront.errors import ConfigError
from joulefront.training import Precision, identity_of, resolve_device, resolve_precision
from joulefront.training.device import placed


@pytest.mark.parametrize("there", [False, True])
def test_auto_is_a_gpu_where_there_is_one(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert resolve_device("auto") == ("cuda" if there else "cpu")
    assert resolve_device("cpu") == "cpu"


def test_a_gpu_that_is_not_there_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match='device "cuda": torch finds no GPU here'):
        resolve_device("cuda")


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_has_a_precision_of_its_own(native: bool, expected: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    assert resolve_precision("auto", "cuda") == expected
    assert resolve_precision("float32", "cuda") == "float32"


def test_results_of_two_gpus_have_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for model in ("NVIDIA H100", "NVIDIA H200"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda model=model: model)
        names.add(identity_of("cuda"))
    assert len(names) == 2
    assert identity_of("cpu") == "cpu"


def test_on_the_processor_a_model_stays_where_it_is() -> None:
    model = nn.Linear(2, 2)
    weight = model.weight
    with placed("cpu", model, None) as place:
        assert place == "cpu"
        assert model.weight is weight
