"""Searches: which networks to measure next, given what was measured."""

from collections.abc import Mapping

READY: Mapping[str, str] = {
    "nsga2": "joulefront.search.evolution:NSGA2",
    "nsga3": "joulefront.search.evolution:NSGA3",
    "spea2": "joulefront.search.evolution:SPEA2",
    "weighted-sum": "joulefront.search.evolution:WeightedSum",
    "random": "joulefront.search.random:Random",
}
"""What ``[search] kind`` may name."""
