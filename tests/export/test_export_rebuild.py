"""The script that gives a user's unpruned model its pruned shapes and weights: for all that surgery cuts, and refused else."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from joulefront.cache import file_sha256
from joulefront.export.scripts.rebuild import rebuild
from joulefront.prune.criteria import L2
from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut
from joulefront.prune.weights import save


def _networks() -> ModuleType:
    """The networks that the tests of pruning cut."""
    path = Path(__file__).parents[1] / "prune/networks.py"
    spec = importlib.util.spec_from_file_location("networks_to_rebuild", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


networks = _networks()


class Tied(nn.Module):
    """Two layers of one weight, and one layer by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.two.weight = self.one.weight
        self.again, self.head = self.stem, nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.two(torch.relu(self.one(torch.relu(self.stem(x))))))
        return scores


def written(folder: Path, small: nn.Module, example: tuple[Tensor, ...]) -> Path:
    """As much of an exported folder as the script reads."""
    save(small, folder / "weights.safetensors")
    with torch.no_grad():
        outputs = small(*example)
    expected = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
    arrays = {"input0": example[0], **{f"output{index}": part for index, part in enumerate(expected)}}
    save_file({name: part.contiguous() for name, part in arrays.items()}, folder / "check.safetensors")
    names = [{"name": name} for name in arrays]
    files = {path.name: {"sha256": file_sha256(path)} for path in folder.glob("*.safetensors")}
    (folder / "card.json").write_text(
        json.dumps({"inputs": names[:1], "outputs": names[1:], "check": {"tolerance": 1e-6}, "files": files})
    )
    return folder


def pruned(model: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
    space = find_space(model, example, multiple=4, floor=0.25)
    assert space.genes
    return cut(model, example, space.pruning(space.uniform(0.5)), L2())


@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        "depthwise",
        "grouped",
        "group_norm",
        "concat",
        "squeeze_excite",
        "convnext",
        "transposed",
        "reused",
        "attention",
    ],
)
def test_the_same_network_comes_out(tmp_path: Path, name: str) -> None:
    model, example = networks.built(name)
    small = pruned(model, example)
    fresh, _ = networks.built(name)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.uniform_()  # a model of the same code that was never trained
    rebuilt = rebuild(fresh, written(tmp_path, small, example))
    with torch.no_grad():
        torch.testing.assert_close(rebuilt(*example), small(*example), rtol=0, atol=0)
    assert repr(rebuilt) == repr(small)
    assert repr(fresh) == repr(model)  # the user's own stays as it is
    assert not rebuilt.training


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Tied()
    rebuilt = rebuild(model, written(tmp_path, model.eval(), (torch.rand(1, 6),)))
    assert rebuilt.get_submodule("two").weight is rebuilt.get_submodule("one").weight
    assert rebuilt.get_submodule("again") is rebuilt.get_submodule("stem")
    assert rebuilt.get_parameter("one.weight") is not model.one.weight


class Counting(nn.Module):
    """Its forward counts on a width that it holds itself."""

    def __init__(self, offset: float, width: int) -> None:
        super().__init__()
        self.layer, self.offset, self.width = nn.Linear(4, 16), offset, width

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).reshape(1, self.width)[:, :4] + self.offset


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Counting(0.0, 9), "with them it does not run: RuntimeError"),
        (lambda: Counting(1.0, 16), "its output differs by up to 1"),
        (lambda: nn.Linear(4, 16), "these are the weights of another model: 4 names differ"),
    ],
)
def test_a_model_that_cannot_be_rebuilt_so_is_refused(tmp_path: Path, make: Callable[[], nn.Module], said: str) -> None:
    folder = written(tmp_path, Counting(0.0, 16), (torch.rand(1, 4),))
    with pytest.raises(ValueError, match=said):
        rebuild(make(), folder)
