"""How much of each group goes: by hand, on scores that one can rank in one's head."""

import pytest
import torch

from joulefront.errors import ConfigError
from joulefront.prune.ratios import Kept, Stock, kept, kept_at_cost, shares_below


def stock(*scores: float, full: int | None = None, **more: float) -> Stock:
    return Stock(full or len(scores), torch.tensor(scores), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "share", "expected"),
    [
        (stock(*range(10)), 0.3, 7),
        (stock(*range(10)), 0.05, 10),  # 9.5 of 10: the larger of two equally near
        (stock(*range(16), step=8), 0.3, 8),  # 11.2
        (stock(*range(16), step=8), 0.2, 16),  # 12.8
        (stock(*range(12), step=8), 0.3, 8),  # 8.4; the full width is legal though it is no multiple
        (stock(*range(10), least=4), 0.9, 4),
        (stock(*range(10), least=3, step=4), 0.9, 4),
        (stock(*range(6), full=10), 0.2, 6),  # it has lost more already
        (stock(*range(6), full=10), 0.5, 5),
        (stock(*range(10), own=0.8), 0.1, 2),
        (stock(0.0, 0.0, least=0), 0.99, 0),
    ],
)
def test_a_uniform_share_leaves_the_nearest_legal_number(given: Stock, share: float, expected: int) -> None:
    assert kept({"a": given}, share, "uniform") == {"a": expected}


def test_a_global_ranking_compares_scores_with_their_groups_mean() -> None:
    stocks = {"small": stock(0.1, 0.2, 0.3, 0.4), "large": stock(1.0, 10.0, 10.0, 10.0)}
    # As shares of the mean: 0.4, 0.8, 1.2, 1.6 and 0.13, 1.29, 1.29, 1.29.
    assert kept(stocks, 3 / 8, "global") == {"small": 2, "large": 3}
    assert kept(stocks, 3 / 8, "global", comparable=True) == {"small": 1, "large": 4}


def test_a_global_ranking_loses_no_group_and_reaches_its_share_all_the_same() -> None:
    stocks = {"poor": stock(0.0, 0.0, 0.1, 0.1, least=2), "rich": stock(5.0, 6.0, 7.0, 8.0)}
    assert kept(stocks, 0.5, "global", comparable=True) == {"poor": 2, "rich": 2}
    assert kept(stocks, 0.99, "global", comparable=True) == {"poor": 2, "rich": 1}


def test_units_count_by_their_size_and_those_gone_before_count_too() -> None:
    heads, channels = stock(1.0, 2.0, size=8), stock(*range(10, 26))
    assert kept({"heads": heads, "channels": channels}, 0.25, "global", comparable=True) == {"heads": 1, "channels": 16}
    half = {"a": stock(3.0, 4.0, full=4), "b": stock(1.0, 2.0, 5.0, 6.0)}  # 2 of 8 are gone
    assert kept(half, 0.5, "global", comparable=True) == {"a": 2, "b": 2}


def test_a_share_of_its_own_is_left_out_of_the_others_ranking() -> None:
    stocks = {"own": stock(0.0, 0.0, 0.0, 0.0, own=0.25), "other": stock(5.0, 6.0, 7.0, 8.0)}
    assert kept(stocks, 0.5, "global", comparable=True) == {"own": 3, "other": 2}


def test_a_cost_is_met_and_what_it_leaves_is_given_back_in_order() -> None:
    stocks = {name: stock(*range(8)) for name in ("a", "b", "c")}

    def cost(chosen: Kept) -> float:
        return 5 * chosen["a"] + 3 * chosen["b"] + 2 * chosen["c"]

    found = kept_at_cost(lambda share: kept(stocks, share, "uniform"), cost, 47, what="macs")
    # 5 of each cost 50 and 4 cost 40: of what is left, a's unit fits, b's no more, and c's does.
    assert found == {"a": 5, "b": 4, "c": 5}
    assert kept_at_cost(lambda share: kept(stocks, share, "uniform"), cost, 80, what="macs") == dict.fromkeys("abc", 8)
    with pytest.raises(ConfigError, match="10 macs are left, and 9 are asked for"):
        kept_at_cost(lambda share: kept(stocks, share, "uniform"), cost, 9, what="macs")


def test_what_is_below_a_cutoff_is_a_share_of_each() -> None:
    stocks = {"a": stock(0.1, 0.2, 0.3, 0.4), "b": stock(0.3, 0.4, full=4)}
    assert shares_below(stocks, 0.25) == {"a": 0.5, "b": 0.5}
    with pytest.raises(ConfigError, match=r"below the cutoff 0.05: the lowest score is 0.1"):
        shares_below(stocks, 0.05)
