"""Several studies joined network by network: what survives where, how far devices agree, what is good on all of them."""

from joulefront.comparison.compared import Comparison, compare
from joulefront.comparison.networks import labels_of, why_not_judged

__all__ = ["Comparison", "compare", "labels_of", "why_not_judged"]
