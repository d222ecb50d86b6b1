"""Running a model again with a change: the same to the last bit, and computed only from the change on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import Net, conv, mean
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.prune.replay import Replay


class Counted(nn.Conv2d):
    """A convolution that counts how often it computed."""

    computed = 0

    def forward(self, x: Tensor) -> Tensor:
        self.computed += 1
        return super().forward(x)


def layers() -> dict[str, nn.Module]:
    return {name: Counted(4, 4, 3, padding=1) for name in ("first", "second", "third")} | {"head": nn.Linear(4, 3)}


def plain(n: Any, x: Tensor) -> Tensor:
    output: Tensor = n.head(mean(n.third(F.relu(n.second(F.relu(n.first(x)))))))
    return output


def in_place(n: Any, x: Tensor) -> Tensor:
    y = F.relu(n.first(x), inplace=True)
    y = n.second(y).add_(y)
    output: Tensor = n.head(mean(n.third(y)))
    return output


def twice(n: Any, x: Tensor) -> Tensor:
    output: Tensor = n.head(mean(n.third(n.second(F.relu(n.third(n.first(x)))))))
    return output


@pytest.mark.parametrize(
    ("run", "changed", "computed"),
    [
        (plain, "third.weight", {"first": 0, "second": 0, "third": 1}),
        (plain, "first.weight", {"first": 1, "second": 1, "third": 1}),
        (plain, "head.bias", {"first": 0, "second": 0, "third": 0}),
        (in_place, "third.weight", {"first": 1, "second": 1, "third": 1}),  # both were written into
        (twice, "third.weight", {"first": 0, "second": 1, "third": 2}),
        (twice, "second.weight", {"first": 0, "second": 1, "third": 1}),
    ],
)
def test_only_what_follows_the_change_is_computed(
    run: Callable[[Any, Tensor], Tensor], changed: str, computed: dict[str, int]
) -> None:
    torch.manual_seed(0)
    net, x = Net(run, **layers()).eval(), torch.randn(2, 4, 5, 5)
    parameter = net.get_parameter(changed)
    with torch.no_grad(), Replay(net) as replay:
        whole = net(x)
        for layer in computed:
            net.get_submodule(layer).computed = 0  # type: ignore[assignment]
        replay.since({parameter})
        before = parameter.clone()
        parameter.zero_()
        changed_output = net(x)
        assert {layer: net.get_submodule(layer).computed for layer in computed} == computed
        parameter.copy_(before)
        replay.since(set())
        assert torch.equal(net(x), whole)
    assert not any("forward" in vars(module) for module in net.modules())
    with torch.no_grad():
        assert torch.equal(net(x), whole)
        parameter.zero_()
        assert torch.equal(net(x), changed_output)
    assert not torch.equal(changed_output, whole)


def test_a_parameter_that_two_layers_share_is_computed_from_the_beginning() -> None:
    torch.manual_seed(0)
    net = Net(
        lambda n, x: n.head(mean(n.second(n.first(x)))), first=conv(4, 4), second=conv(4, 4), head=nn.Linear(4, 3)
    )
    net.second.weight = net.first.weight
    x = torch.randn(2, 4, 5, 5)
    with torch.no_grad(), Replay(net) as replay:
        net(x)
        replay.since({net.first.weight})  # type: ignore[arg-type]
        net.first.weight.zero_()  # type: ignore[operator]
        changed = net(x)
    assert torch.equal(changed, net(x))
