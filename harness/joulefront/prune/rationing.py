"""Which units of a network stay when a share of what there was is to be gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from torch import Tensor

from joulefront.errors import ConfigError
from joulefront.problems import nearest
from joulefront.protocols import Criterion, Task
from joulefront.prune.cost import Predictor
from joulefront.prune.granularities import Granularity, Network, There
from joulefront.prune.ratios import Kept, Scope, Stock, kept, kept_at_cost, shares_below
from joulefront.space_records import inside

Of = Literal["units", "macs", "params"]
"""Of what a ratio is a share: of the units themselves, of the multiply-accumulates, or of the parameters."""


class Rationing:
    """The shares that go of one kind of unit, beginning with the network ``start``.

    ``ratio`` is the share ``of`` it that goes in the end, ``scope`` how it is spread; ``shares`` gives stocks, or all below a
    name, a share of their own. Without either, what scores below the criterion's ``cutoff`` goes. ``target`` is the share
    that goes in the end, as a schedule is given it: ``ratio``, or that of all units.

    Raises ConfigError for a share that cannot be, a name that is none, and where nothing says how much goes.
    """

    def __init__(
        self,
        kind: Granularity,
        start: Network,
        task: Task,
        criterion: Criterion,
        *,
        ratio: float | None,
        of: Of,
        scope: Scope,
        shares: Mapping[str, float],
        seed: int,
    ) -> None:
        groups = [(f"--group {name}", share) for name, share in shares.items()]
        for option, share in (*groups, *([("--ratio", ratio)] if ratio is not None else [])):
            if not 0 < share < 1:
                raise ConfigError(f"{option}: expected a share above 0 and below 1, not {share:g}")
        if of != "units" and ratio is None:
            raise ConfigError(f"--of {of} needs a --ratio: the share of the {of} that goes")
        self._kind, self._task, self._criterion, self._seed = kind, task, criterion, seed
        self._ratio, self._of, self._scope = ratio, of, scope
        self._scored: dict[int, tuple[Network, dict[str, Stock]]] = {}
        there = kind.there(start)
        self._full = {name: len(units) for name, units in there.items()}
        self._whole = self._cost(self._predictor(start), start, there) if of != "units" else 0
        self._own: dict[str, float] = _named(shares, there)
        if ratio is None and not shares:
            self._own = self._below_cutoff(start)
        self.target = self._share_of_all(start) if ratio is None else ratio

    def left(self, network: Network, ratio: float, there: There | None = None) -> dict[str, Tensor]:
        """The units that stay in ``network`` when the share ``ratio`` of what ``start`` had is gone; what has gone stays so.

        ``there``, where it is given, are the units of ``network`` that are not silenced; it may have been trained since the
        last call. Raises ConfigError when the ratio cannot be reached, or the criterion cannot judge.
        """
        stocks = self._stocks(network, there)
        units = self._kind.there(network) if there is None else there
        order = {name: stock.scores.argsort(descending=True, stable=True) for name, stock in stocks.items()}
        comparable = bool(getattr(self._criterion, "comparable", False))
        progress = ratio / self.target
        stocks = {
            name: replace(stock, own=self._own[name] * progress) if name in self._own else stock
            for name, stock in stocks.items()
        }

        def choose(share: float) -> Kept:
            return kept(stocks, share, self._scope, comparable=comparable)

        def best(chosen: Kept) -> dict[str, Tensor]:
            return {name: units[name][order[name][:number].sort().values] for name, number in chosen.items()}

        if self._of == "units":
            _check_reachable(stocks, 0.0 if self._ratio is None else ratio)
            return best(choose(0.0 if self._ratio is None else ratio))
        predict = self._predictor(network)
        aim = (1 - ratio) * self._whole
        return best(kept_at_cost(choose, lambda chosen: self._cost(predict, network, best(chosen)), aim, what=self._of))

    def _stocks(self, network: Network, there: There | None) -> dict[str, Stock]:
        """What each group or layer has to give now; of a network that does not change, scored once."""
        if there is None and id(network) in self._scored:
            return self._scored[id(network)][1]
        units = self._kind.there(network) if there is None else there
        units = {name: units[name] for name in self._full if name in units}
        scores = self._kind.scores(network, units, self._criterion, self._task, self._seed)
        stocks = self._kind.stocks(network, self._full, scores)
        if there is None:
            self._scored[id(network)] = network, stocks
        return stocks

    def _predictor(self, network: Network) -> Predictor:
        if not self._kind.is_cut:
            raise ConfigError(
                f"--of {self._of}: single weights that are zero are computed and counted like others, so no share of them "
                "takes any away: leave --of out, and --ratio is the share of weights that become zero"
            )
        return Predictor(network.model, self._task.example, network.groups)

    def _cost(self, predict: Predictor, network: Network, there: There) -> int:
        cost = predict(self._kind.pruning(network, there))
        return cost.macs if self._of == "macs" else cost.params

    def _below_cutoff(self, start: Network) -> dict[str, float]:
        """The share of each stock that scores below the criterion's threshold."""
        cutoff = getattr(self._criterion, "cutoff", None)
        if not isinstance(cutoff, float | int):
            raise ConfigError(
                "how much is to go? Give a --ratio, or --group NAME=RATIO, or a criterion with a threshold, such as "
                "--criterion '{kind = \"relative-threshold\", cutoff = 0.1}'"
            )
        return shares_below(self._stocks(start, None), float(cutoff))

    def _share_of_all(self, start: Network) -> float:
        """The share of all units that goes by the shares of their own."""
        weights = {name: stock.full * stock.size for name, stock in self._stocks(start, None).items()}
        share = sum(weights[name] * own for name, own in self._own.items()) / sum(weights.values())
        if share >= 1:
            raise ConfigError("all there is scores below the cutoff: a smaller one leaves something")
        return share


def _check_reachable(stocks: Mapping[str, Stock], share: float) -> None:
    """Raise ConfigError where the fewest units that may be left are more than ``share`` leaves, rounding aside."""
    shared = [stock for stock in stocks.values() if stock.own is None]
    full = sum(stock.full * stock.size for stock in shared)
    least = sum(stock.lowest * stock.size for stock in shared)
    if least - (1 - share) * full >= sum(stock.step * stock.size for stock in shared) > 0:
        raise ConfigError(
            f"--ratio {share:g}: --floor and --multiple leave at least {least / full:.1%}: make them smaller, or the ratio"
        )


def _named(shares: Mapping[str, float], there: There) -> dict[str, float]:
    """The share of each stock that has one of its own: the longest name that it is, or lies below."""
    for name in shares:
        if not any(inside(stock, [name]) for stock in there):
            raise ConfigError(f"--group {name}: nothing of that name can be pruned; {nearest(name, there)}")
    found = {stock: [name for name in shares if inside(stock, [name])] for stock in there}
    return {stock: shares[max(names, key=len)] for stock, names in found.items() if names}
