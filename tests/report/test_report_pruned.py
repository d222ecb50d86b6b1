"""What is pruned of a network, in words: blocks, zeros, and what judged, beside the widths."""

from __future__ import annotations

from joulefront.report.pruned import pruned, pruning_text, pruning_words
from joulefront.space_records import Pruning

SPARSE = Pruning({"stem": 8, "a.one": 4}, (), {"a.one": 0.5, "a.two": 0.8, "head": 0.5}, "l2")


def test_layers_with_one_share_of_zeros_are_told_together() -> None:
    assert pruning_words(pruned(SPARSE), named=True) == [
        "stem 8", "a.one 4", "50% zeros of a.one, head", "80% zeros of a.two", "by l2"
    ]  # fmt: skip
    everywhere = Pruning({"stem": 8}, (), {"stem": 0.5, "head": 0.5})
    assert pruning_text(pruned(everywhere)) == "8 50% zeros"
    assert pruning_text(pruned(Pruning({"stem": 8}, (), {"stem": 0.5, "head": 0.0}))) == "8 50% zeros of stem"


def test_nothing_is_said_of_the_inside_of_a_block_that_is_out() -> None:
    """A genome has a width for it nevertheless; where a heading has the names, a dash keeps the others in their places."""
    without = Pruning({"a.one": 4, "stem": 8}, ("a",), SPARSE.sparsity, "l2")
    assert pruning_words(pruned(without), named=True) == ["stem 8", "without a", "50% zeros of head", "by l2"]
    assert pruning_text(pruned(without)) == "– 8 without a 50% zeros by l2"
    assert without.text == "stem=8 without a 50% zeros of head l2"
