"""Which channels are kept, and that it is the same every time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import Net, built, conv, mean, prepared
from torch import Tensor, nn

from joulefront.errors import PruneError, StoreError
from joulefront.protocols import Group
from joulefront.prune.criteria import L2, Random
from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut, cut_to
from joulefront.prune.weights import load, save
from joulefront.space_records import Gene, Pruning


class Fixed:
    """The scores that it was given."""

    def __init__(self, scores: list[float]) -> None:
        self._scores = scores

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor(self._scores)


def stem_of(scores: list[float], width: int) -> list[float]:
    """The biases, here the channels' numbers, of those of four channels that are kept."""
    net, example = prepared(lambda: Net(lambda n, x: n.head(mean(n.stem(x))), stem=conv(3, 4), head=nn.Linear(4, 5)))
    net.stem.bias.data = torch.arange(4.0)
    small = cut(net, example, Pruning({"stem": width}), Fixed(scores))
    kept: list[float] = small.get_parameter("stem.bias").tolist()
    torch.testing.assert_close(small.get_parameter("head.weight"), net.head.weight[:, [int(i) for i in kept]])
    return kept


def test_the_highest_scores_are_kept_in_their_order() -> None:
    assert stem_of([0.3, 0.1, 0.4, 0.2], 2) == [0, 2]


def test_of_equal_scores_the_first_are_kept() -> None:
    assert stem_of([1.0, 2.0, 1.0, 1.0], 3) == [0, 1, 2]


def test_a_criterion_sees_the_filters_of_all_coupled_layers() -> None:
    net, example = built("squeeze_excite")
    seen = {}

    class Looking(L2):
        def __call__(self, group: Group) -> Tensor:
            seen[group.name] = [tuple(weight.shape) for weight in group.weights]
            return super().__call__(group)

    cut(net, example, Pruning({"stem": 4, "squeeze": 4}), Looking())
    assert seen == {"stem": [(16, 27), (16, 8)], "squeeze": [(8, 16)]}


@pytest.mark.parametrize("scores", [[1.0, 2.0], [1.0, 2.0, float("nan"), 0.0]])
def test_a_criterion_that_gives_no_scores_is_named(scores: list[float]) -> None:
    with pytest.raises(PruneError, match="Fixed gives layer 'stem' no finite score"):
        stem_of(scores, 2)


def test_blocks_go_whole() -> None:
    net, example = built("grouped")
    space = find_space(net, example, multiple=1, floor=0.2)
    assert space.genes[0] == Gene("stem", (6, 12, 18, 24))
    scores = [0.0] * 24
    scores[13] = 9.0  # the highest of all, in the third run of six
    scores[0:6] = [2.0] * 6
    net.stem.bias.data = torch.arange(24.0)

    class Stem(Fixed):
        def __call__(self, group: Group) -> Tensor:
            return super().__call__(group) if group.name == "stem" else torch.zeros(group.channels)

    small = cut(net, example, space.pruning((1, space.full[1])), Stem(scores))
    assert small.get_parameter("stem.bias").tolist() == [*range(6), *range(12, 18)]
    assert small.get_submodule("wide").groups == 2


def test_the_scores_are_those_of_the_uncut_model() -> None:
    net, example = built("tiny")
    space = find_space(net, example, multiple=4, floor=0.125)
    together = cut(net, example, space.pruning((0, 0, 0)), L2()).get_parameter("conv2.weight")
    alone = cut(net, example, space.pruning((space.full[0], 0, space.full[2])), L2()).get_parameter("conv2.weight")
    columns = cut(net, example, space.pruning((0, *space.full[1:])), L2()).get_parameter("conv2.weight")
    rows = [next(i for i, row in enumerate(net.conv2.weight) if torch.equal(row, kept)) for kept in alone]
    torch.testing.assert_close(together, columns[rows], rtol=0, atol=0)


def test_the_full_genome_is_the_same_network() -> None:
    net, example = built("resnet20")
    space = find_space(net, example, multiple=4, floor=0.125)
    whole = cut(net, example, space.pruning(space.full), L2())
    assert whole is not net
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_the_given_model_is_untouched() -> None:
    net, example = built("tiny")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    space = find_space(net, example, multiple=4, floor=0.125)
    small = cut(net, example, space.pruning((0, 0, 0)), L2())
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("pruning", "message"),
    [
        (Pruning({"conv": 4}), "no channels named 'conv' .* did you mean 'conv[12]'"),
        (Pruning({"dense2": 5}), "no channels named 'dense2'"),
        (Pruning({"conv1": 0}), "'conv1' cannot have 0 of its 16 channels"),
        (Pruning({"conv1": 17}), "'conv1' cannot have 17 of its 16 channels"),
        (Pruning(dropped=("block",)), "the model has no block 'block'; known"),
    ],
)
def test_a_pruning_of_another_model_is_refused(pruning: Pruning, message: str) -> None:
    net, example = built("tiny")
    with pytest.raises(PruneError, match=message):
        cut(net, example, pruning, L2())


PROGRAM = """
import hashlib, pathlib, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from networks import built
from joulefront.prune.criteria import L2, Random
from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut
from joulefront.prune.weights import save
net, example = built("resnet20")
space = find_space(net, example, multiple=4, floor=0.125)
for criterion in (L2(), Random(3)):
    save(cut(net, example, space.pruning(space.uniform(0.5)), criterion), pathlib.Path(sys.argv[2]))
    print(hashlib.sha256(pathlib.Path(sys.argv[2]).read_bytes()).hexdigest())
"""


def test_a_fresh_process_makes_the_same_bytes(tmp_path: Path) -> None:
    net, example = built("resnet20")
    space = find_space(net, example, multiple=4, floor=0.125)
    here = []
    for criterion in (L2(), Random(3)):
        save(cut(net, example, space.pruning(space.uniform(0.5)), criterion), tmp_path / "here")
        here.append(hashlib.sha256((tmp_path / "here").read_bytes()).hexdigest())
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(tmp_path / "there")]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert there == here
    assert here[0] != here[1]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    net, example = built("tiny")
    save(cut_to(net, example, Pruning({"conv1": 8})), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_a_damaged_file_is_an_error(saved: Path) -> None:
    net, example = built("tiny")
    saved.write_bytes(saved.read_bytes()[:-5])
    with pytest.raises(StoreError, match=r"weights\.safetensors: damaged"):
        load(net, example, Pruning({"conv1": 8}), saved)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    net, example = built("tiny")
    with pytest.raises(StoreError, match="nothing: cannot be read"):
        load(net, example, Pruning({"conv1": 8}), tmp_path / "nothing")


def test_the_weights_of_other_widths_are_an_error(saved: Path) -> None:
    net, example = built("tiny")
    with pytest.raises(StoreError, match="holds another network"):
        load(net, example, Pruning({"conv1": 4}), saved)


def test_a_disk_that_refuses_is_an_error(tmp_path: Path) -> None:
    net, _ = built("tiny")
    with pytest.raises(StoreError, match="cannot be written"):
        save(net, tmp_path / "no folder" / "weights.safetensors")


def test_layers_are_told_that_their_weights_are_of_today(tmp_path: Path) -> None:
    class Versioned(nn.Linear):
        _version = 2

        def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
            assert local_metadata["version"] == 2
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    net, example = prepared(
        lambda: Net(lambda n, x: n.head(mean(n.stem(x))), stem=conv(3, 4), head=Versioned(4, 5)),
    )
    pruning = Pruning({"stem": 2})
    small = cut_to(net, example, pruning)
    save(small, tmp_path / "weights")
    again = load(net, example, pruning, tmp_path / "weights")
    with torch.no_grad():
        torch.testing.assert_close(again(*example), small(*example), rtol=0, atol=0)
