"""How much of each group goes, so that a given share of the whole does: uniform, global, or of a given cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from joulefront.errors import ConfigError

Scope = Literal["uniform", "global"]

Kept = dict[str, int]
"""How many units are left, by the name of what has them."""

_TINY = 1e-9  # shares such as 0.3 of 10 are not exact
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Stock:
    """What a group of channels, a layer of single weights, or all blocks together have to give.

    ``full`` is how many units there were at first, ``scores``, (units,), is of those that are left: the lowest go first.
    A unit counts as ``size`` (of attention heads the channels). At least ``least`` units are left, and a multiple of
    ``step``, or as many as there are. ``own`` is the share of ``full`` that goes, where that is given apart from the others.
    """

    full: int
    scores: Tensor
    size: int = 1
    least: int = 1
    step: int = 1
    own: float | None = None

    @property
    def now(self) -> int:
        """How many units are left."""
        return len(self.scores)

    def legal(self, wanted: float) -> int:
        """The number of units to keep that is nearest to ``wanted``; of two equally near ones the larger."""
        if wanted > self.now - _TINY:
            return self.now
        nearest = int(wanted / self.step + 0.5 + _TINY) * self.step
        return min(max(nearest, self.lowest), self.now)

    @property
    def lowest(self) -> int:
        """The fewest units that may be left."""
        return min(-(-self.least // self.step) * self.step, self.now)


def kept(stocks: Mapping[str, Stock], share: float, scope: Scope, *, comparable: bool = False) -> Kept:
    """How many units of each stock stay so that about the ``share``, from 0 to 1, of the full number is gone.

    ``uniform`` takes this share of each. ``global`` ranks all units together and takes the lowest; the scores of each
    stock are divided by the mean of their absolute values before, as torch-pruning does, unless they are ``comparable`` as
    they are. Estimates of a change of the loss are so in theory only: on the digits, at 70 % fewer MACs, the mean test
    accuracy of three seeds was 97.2 % (taylor) and 96.7 % (hessian) with the division, 93.1 and 85.5 % without.
    Stocks with a share of their own are left out of the ranking.
    """
    chosen = {
        name: stock.legal((1 - stock.own) * stock.full) for name, stock in stocks.items() if stock.own is not None
    }
    others = {name: stock for name, stock in stocks.items() if stock.own is None}
    if scope == "uniform":
        chosen |= {name: stock.legal((1 - share) * stock.full) for name, stock in others.items()}
    else:
        chosen |= _ranked(others, share, comparable)
    return {name: chosen[name] for name in stocks}


def kept_at_cost(choose: Callable[[float], Kept], cost: Callable[[Kept], float], aim: float, *, what: str) -> Kept:
    """What ``choose`` keeps at the smallest share whose ``cost`` is at most ``aim``, and as much more as that allows.

    One share moves many stocks at once, past the aim; so what the next smaller share would keep is given back, stock by
    stock in their order, where the cost stays within the aim. Raises ConfigError when no share reaches it; ``what`` is
    counted.
    """
    low, high = 0.0, 1.0
    more, less = choose(low), choose(high)
    if cost(less) > aim:
        raise ConfigError(
            f"--ratio: at the narrowest that is allowed, {cost(less):,.0f} {what} are left, and {aim:,.0f} are asked for: "
            "a smaller --floor or --multiple, fewer --exclude, or a smaller ratio may do"
        )
    if cost(more) <= aim:
        return more
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        tried = choose(middle)
        if cost(tried) <= aim:
            high, less = middle, tried
        else:
            low, more = middle, tried
    for name, number in more.items():
        richer = {**less, name: max(number, less[name])}
        if richer != less and cost(richer) <= aim:
            less = richer
    return less


def shares_below(stocks: Mapping[str, Stock], cutoff: float) -> dict[str, float]:
    """The share of each stock that scores below ``cutoff``. Raises ConfigError when nothing does."""
    below = {name: int((stock.scores < cutoff).sum()) for name, stock in stocks.items()}
    if not any(below.values()):
        lowest = min(float(stock.scores.min()) for stock in stocks.values() if stock.now)
        raise ConfigError(f"nothing scores below the cutoff {cutoff:g}: the lowest score is {lowest:.3g}")
    return {name: (below[name] + stock.full - stock.now) / stock.full for name, stock in stocks.items()}


def _ranked(stocks: Mapping[str, Stock], share: float, comparable: bool) -> Kept:
    """The units that a ranking of all of them leaves."""
    names = list(stocks)
    scores, sizes, owners = [], [], []
    for index, stock in enumerate(stocks.values()):
        spread = float(stock.scores.double().abs().mean()) if stock.now else 0.0
        normed = stock.scores.double() / (1.0 if comparable or not spread else spread)
        # The best of each stock stay whatever the others score, so that none is lost whole.
        normed[stock.scores.argsort(descending=True, stable=True)[: stock.lowest]] = torch.inf
        scores.append(normed)
        sizes.append(torch.full((stock.now,), float(stock.size)))
        owners.append(torch.full((stock.now,), index))
    if not scores:
        return {}
    ranked, size, owner = torch.cat(scores), torch.cat(sizes), torch.cat(owners)
    gone_before = sum((stock.full - stock.now) * stock.size for stock in stocks.values())
    budget = share * sum(stock.full * stock.size for stock in stocks.values()) - gone_before
    order = ranked.argsort(stable=True)
    # The last one goes as well if that comes nearer to what is asked for.
    goes = (size[order].cumsum(0) - size[order] / 2 < budget - _TINY) & ranked[order].isfinite()
    gone = torch.bincount(owner[order][goes], minlength=len(names)).tolist()
    return {name: stocks[name].legal(stocks[name].now - gone[index]) for index, name in enumerate(names)}
