"""What every Criterion keeps to, and what each of the ready-made ones computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from joulefront.config import Plugin
from joulefront.plugins import build
from joulefront.protocols import Criterion
from joulefront.prune import READY
from joulefront.prune.criteria import L2, Random


@dataclass(frozen=True)
class Channels:
    """A protocols.Group made by hand."""

    name: str
    channels: int
    weights: Sequence[Tensor]


def group(scale: float = 1.0) -> Channels:
    generator = torch.Generator().manual_seed(0)
    shapes = [(12, 27), (12, 1), (12, 108)]
    return Channels("layer", 12, [scale * torch.randn(shape, generator=generator) for shape in shapes])


@pytest.fixture(params=READY)
def criterion(request: pytest.FixtureRequest) -> Criterion:
    made: Criterion = build(Plugin(kind=request.param), READY, folder=Path(), where="[criterion]")
    return made


def test_one_finite_float_a_channel(criterion: Criterion) -> None:
    scores = criterion(group())
    assert scores.shape == (12,)
    assert scores.dtype == torch.float32
    assert scores.device.type == "cpu"
    assert scores.isfinite().all()
    assert len(scores.unique()) == 12


def test_the_same_group_has_the_same_scores(criterion: Criterion) -> None:
    assert torch.equal(criterion(group()), criterion(group()))


def test_the_global_generator_is_left_alone(criterion: Criterion) -> None:
    torch.manual_seed(1)
    first = criterion(group())
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(criterion(group()), first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_order_does_not_depend_on_the_scale(criterion: Criterion) -> None:
    assert torch.equal(criterion(group()).argsort(), criterion(group(scale=1000.0)).argsort())


def test_the_group_is_left_as_it_is(criterion: Criterion) -> None:
    given, same = group(), group()
    criterion(given)
    assert all(torch.equal(left, right) for left, right in zip(given.weights, same.weights, strict=True))


def test_a_group_of_one_channel_and_no_weights(criterion: Criterion) -> None:
    assert criterion(Channels("layer", 1, [])).shape == (1,)


def test_l2_is_the_norm_over_all_that_produces_the_channel() -> None:
    """Li 2017, section 3.1: the norm of a filter; here 3-4-12 and 0-0-2, worked by hand."""
    weights = [torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[12.0], [2.0]])]
    assert L2()(Channels("layer", 2, weights)).tolist() == [13.0, 2.0]


def test_random_depends_on_the_seed_and_on_the_group() -> None:
    given = group()
    assert not torch.equal(Random(0)(given), Random(1)(given))
    assert not torch.equal(Random(0)(given), Random(0)(replace(given, name="other")))
