"""What a candidate begins with: the unpruned network, or the nearest larger one that was fine-tuned before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from joulefront.cache import Cache
from joulefront.config import StudyConfig, parse
from joulefront.prepare import Maker, Recipe
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


@pytest.fixture
def maker(tmp_path: Path, fresh_cache: Path) -> Maker:
    (tmp_path / "task.py").write_text(TASK)
    study = parse(study_text().replace('kind = "digits"', 'kind = "task.py:task"'), StudyConfig, source="study.toml")
    return Maker(Recipe(study.model_dump_json(), tmp_path, TARGET), Cache())


def test_a_candidate_begins_with_the_nearest_that_holds_it(maker: Maker, fresh_cache: Path) -> None:
    alone = maker.prepare(SMALL, "screen").candidate
    inherited = maker.prepare(SMALL, "screen", [UNPRUNED, OTHER, LARGE]).candidate
    assert (alone.parent, inherited.parent) == (None, LARGE)
    assert inherited.key != alone.key
    assert inherited.sha256 != alone.sha256
    assert inherited.pruning == alone.pruning
    shutil.rmtree(fresh_cache)
    assert maker.prepare(SMALL, "screen", [UNPRUNED, OTHER, LARGE]).candidate == inherited


def test_the_unpruned_network_and_narrower_ones_are_no_parents(maker: Maker) -> None:
    alone = maker.prepare(SMALL, "screen").candidate
    assert maker.prepare(SMALL, "screen", [UNPRUNED, OTHER]).candidate == alone
