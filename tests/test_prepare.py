"""What a candidate begins with: the unpruned network, or the nearest larger one that was fine-tuned before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from joulefront.cache import Cache
from joulefront.config import StudyConfig, parse
from joulefront.errors import ConfigError
from joulefront.prepare import Maker, Recipe
from joulefront.prune.storage import parsed
from simulated import TARGET, study_text

TASK = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from joulefront.tasks import Task

torch.manual_seed(0)
DATA = TensorDataset(torch.rand(256, 1, 8, 8), torch.arange(256) % 4)

def task():
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 16, 3)
    net = nn.Sequential(first, nn.BatchNorm2d(16), nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(256, 4))
    return Task(net, torch.ones(1, 1, 8, 8), DATA, DATA, DATA)
"""
UNPRUNED, LARGE, OTHER, SMALL = (3, 3), (2, 2), (0, 3), (1, 2)
BLOCKS = """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        nn.init.zeros_(self.two.weight)

    def forward(self, x):
        return x + self.two(self.one(x).relu())

def blocks():
    torch.manual_seed(0)
    return Task(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Block(), nn.Linear(8, 4)), torch.ones(1, 1, 8, 8), DATA, DATA, DATA)
"""


def maker_of(text: str, folder: Path) -> Maker:
    (folder / "task.py").write_text(TASK + BLOCKS)
    study = parse(text, StudyConfig, source="study.toml")
    return Maker(Recipe(study.model_dump_json(), folder, TARGET), Cache())


STUDY = study_text().replace('kind = "digits"', 'kind = "task.py:task"')


@pytest.fixture
def maker(tmp_path: Path, fresh_cache: Path) -> Maker:
    return maker_of(STUDY, tmp_path)


def test_the_study_in_the_readme_can_be_prepared(tmp_path: Path, fresh_cache: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    study = readme.partition("```toml\n")[2].partition("```")[0]
    for theirs, ours in (("my_model.py:task", "task.py:task"), ('exclude = ["stem"]', "exclude = []")):
        assert theirs in study
        study = study.replace(theirs, ours)
    assert {gene.kind for gene in maker_of(study, tmp_path).space.genes} >= {"width", "sparsity", "criterion"}


def test_a_candidate_begins_with_the_nearest_that_holds_it(maker: Maker, fresh_cache: Path) -> None:
    alone = maker.prepare(SMALL, "screen").candidate
    inherited = maker.prepare(SMALL, "screen", [UNPRUNED, OTHER, LARGE]).candidate
    assert (alone.parent, inherited.parent) == (None, LARGE)
    assert inherited.key != alone.key
    assert inherited.sha256 != alone.sha256
    assert inherited.pruning == alone.pruning
    shutil.rmtree(fresh_cache)
    assert maker.prepare(SMALL, "screen", [UNPRUNED, OTHER, LARGE]).candidate == inherited


def test_a_criterion_to_choose_from_that_is_none_is_told_where_it_stands(tmp_path: Path, fresh_cache: Path) -> None:
    text = STUDY.replace("[space]", '[space]\ncriteria = ["tailor"]')
    with pytest.raises(ConfigError, match=r"^\[space\] criteria: unknown kind 'tailor'; did you mean 'taylor'\?"):
        maker_of(text, tmp_path)


def test_a_gpu_finds_no_candidate_that_another_one_trained(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = maker.prepare(SMALL, "screen").candidate
    assert maker_of(STUDY, tmp_path).prepare(SMALL, "screen").candidate == alone
    monkeypatch.setattr("joulefront.training.identity_of", lambda device: "cuda: NVIDIA H200")
    assert maker_of(STUDY, tmp_path).prepare(SMALL, "screen").candidate.key != alone.key


def test_the_unpruned_network_and_narrower_ones_are_no_parents(maker: Maker) -> None:
    alone = maker.prepare(SMALL, "screen").candidate
    assert maker.prepare(SMALL, "screen", [UNPRUNED, OTHER]).candidate == alone


@pytest.fixture
def blocks(tmp_path: Path, fresh_cache: Path) -> Maker:
    text = study_text().replace('kind = "digits"', 'kind = "task.py:blocks"')
    return maker_of(text.replace("[space]", "[space]\nblocks = true\nsparsity = [0.5]"), tmp_path)


def test_only_what_was_pruned_stays_zero(blocks: Maker) -> None:
    """All of 2.two is zero before, and is to be trained."""
    weights = parsed(blocks.prepare((1, 1, 1, 0, 1, 1, 1), "screen").weights.read_bytes())
    zeros = {name: float((tensor == 0).float().mean()) for name, tensor in weights.items() if tensor.dim() > 1}
    assert zeros.pop("2.two.weight") < 0.2
    assert zeros == {"1.weight": 0.5, "2.one.weight": 0.0, "3.weight": 0.0}


def test_what_is_inside_of_a_missing_block_makes_no_other_candidate(blocks: Maker) -> None:
    maker = blocks
    assert [(gene.name, len(gene.options)) for gene in maker.space.genes] == [
        ("1", 2), ("2.one", 2), ("2", 2), *[(f"zeros of {name}", 2) for name in ("1", "2.one", "2.two", "3")]
    ]  # fmt: skip
    without, narrow, zeros = (1, 1, 0, 1, 1, 1, 1), (1, 0, 0, 1, 1, 1, 1), (1, 1, 0, 1, 0, 1, 1)
    alone = maker.prepare(without, "screen").candidate
    assert {maker.prepare(genome, "screen").candidate.key for genome in (narrow, zeros)} == {alone.key}
    assert maker.prepare((0, *without[1:]), "screen").candidate.key != alone.key
    assert maker.prepare(without, "screen", [narrow, zeros]).candidate == alone  # not begun with itself
    for kept in ((1, 0, 1, 1, 1, 1, 1), (1, 1, 1, 1, 0, 1, 1)):
        assert maker.prepare(without, "screen", [kept]).candidate.parent == kept
