"""The script that gives a user's unpruned model its pruned shapes and weights: for all that surgery cuts, and refused else."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from joulefront import prune
from joulefront.cache import file_sha256
from joulefront.export import scripts
from joulefront.prune.criteria import L2
from joulefront.prune.masks import masks_of, weight_masks, zero
from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut, drop
from joulefront.prune.weights import save
from lent import lent

networks = lent("prune/networks")

Rebuild = Callable[[nn.Module, Path], nn.Module]


@pytest.fixture(scope="module")
def rebuild(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rebuild]:
    """The function as a user imports it: from a folder that has the two files."""
    folder = tmp_path_factory.mktemp("exported")
    for name, source in (("rebuild", scripts), ("pruned_layers", prune)):
        file = {"pruned_layers": "resize"}.get(name, name)
        shutil.copy(Path(str(source.__file__)).with_name(f"{file}.py"), folder / f"{name}.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        imported: Rebuild = importlib.import_module("rebuild").rebuild
        yield imported
        for name in ("rebuild", "pruned_layers"):
            patch.delitem(sys.modules, name)


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


def written(folder: Path, small: nn.Module, example: tuple[Tensor, ...], dropped: Sequence[str] = ()) -> Path:
    """As much of an exported folder as the script reads."""
    save(small, folder / "weights.safetensors")
    with torch.no_grad():
        outputs = small(*example)
    expected = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
    arrays = {"input0": example[0], **{f"output{index}": part for index, part in enumerate(expected)}}
    save_file({name: part.contiguous() for name, part in arrays.items()}, folder / "check.safetensors")
    names = [{"name": name} for name in arrays]
    files = {path.name: {"sha256": file_sha256(path)} for path in folder.glob("*.safetensors")}
    card = {"inputs": names[:1], "outputs": names[1:], "check": {"tolerance": 1e-6}, "files": files, "dropped": dropped}
    (folder / "card.json").write_text(json.dumps(card))
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
def test_the_same_network_comes_out(rebuild: Rebuild, tmp_path: Path, name: str) -> None:
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


class Residual(nn.Module):
    """Two blocks, each of which can be taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6)) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


def test_a_block_that_was_taken_out_stays_out(rebuild: Rebuild, tmp_path: Path) -> None:
    model, example = Residual().eval(), (torch.rand(1, 6),)
    small = drop(model, ["blocks.1"])
    rebuilt = rebuild(model, written(tmp_path, small, example, ["blocks.1"]))
    assert isinstance(rebuilt.get_submodule("blocks.1"), nn.Identity)
    assert isinstance(model.get_submodule("blocks.1"), nn.Sequential)
    with torch.no_grad():
        assert torch.equal(rebuilt(*example), small(*example))
    with pytest.raises(ValueError, match=r"another model: this one has no block 'blocks\.1'"):
        rebuild(nn.Linear(6, 6), tmp_path)


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().flatten().view(torch.uint8).numpy().tobytes()


def test_zeros_come_back_bit_by_bit(rebuild: Rebuild, tmp_path: Path) -> None:
    model, example = networks.built("tiny")
    scores = {"dense1": model.get_parameter("dense1.weight").detach().abs().flatten()}
    zero(model, weight_masks(model, scores, {"dense1": 0.9}))
    rebuilt = rebuild(networks.built("tiny")[0], written(tmp_path, model, example))
    assert (tmp_path / "weights.safetensors").stat().st_size < 0.6 * sum(4 * p.numel() for p in model.parameters())
    assert set(masks_of(rebuilt)) == {"dense1.weight"}
    for name, tensor in model.state_dict().items():
        assert bits(rebuilt.state_dict()[name]) == bits(tensor), name


class Encoder(nn.Module):
    """torch's own attention and recurrence, whose weights and sizes are kept by the modules themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention = nn.Linear(6, 16), nn.MultiheadAttention(16, 4, batch_first=True)
        self.lstm = nn.LSTM(16, 12, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        scores: Tensor = self.head(self.lstm(x)[0][:, -1])
        return scores


def test_heads_and_hidden_units_are_as_many_as_are_left(rebuild: Rebuild, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, example = Encoder().eval(), (torch.rand(1, 5, 6),)
    small = pruned(model, example)
    assert len(small.get_parameter("attention.in_proj_weight")) < 48
    assert small.get_submodule("lstm").hidden_size < 12  # type: ignore[operator]
    rebuilt = rebuild(Encoder(), written(tmp_path, small, example))
    with torch.no_grad():
        assert torch.equal(rebuilt(*example), small(*example))
    assert repr(rebuilt) == repr(small)


def test_tied_weights_stay_tied(rebuild: Rebuild, tmp_path: Path) -> None:
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
def test_a_model_that_cannot_be_rebuilt_so_is_refused(
    rebuild: Rebuild, tmp_path: Path, make: Callable[[], nn.Module], said: str
) -> None:
    folder = written(tmp_path, Counting(0.0, 16), (torch.rand(1, 4),))
    with pytest.raises(ValueError, match=said):
        rebuild(make(), folder)
