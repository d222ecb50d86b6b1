"""How far two devices agree about many networks: do they rank them alike, and which layer's width moves them apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.stats

# Below five, a rank correlation's interval says nothing.
_LEAST_NETWORKS = 5
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation over so many ``networks``, with its 95 % interval; None with its ``reason``."""

    value: float | None
    interval: tuple[float, float] | None
    networks: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What halving a layer's width does to a ratio, as a factor, with its 95 % interval."""

    factor: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What halving each layer's width, all others kept, does to the ratio of two devices' latencies.

    Fitted over so many ``networks``; ``layers`` is empty where there is a ``reason``.
    """

    layers: Mapping[str, Effect] = field(default_factory=dict)
    networks: int = 0
    reason: str | None = None


def rank_correlation(ones: Sequence[float], others: Sequence[float]) -> Correlation:
    """Spearman's correlation of two devices' figures for the same networks.

    The interval is Fisher's with the variance of Bonett and Wright (2000), (1 + r²/2) / (n - 3). A correlation of 1 has
    none there: its finite bound is that of the nearest value below which n ranks can show, two neighbours swapped.
    """
    count = len(ones)
    if count < _LEAST_NETWORKS:
        return Correlation(None, None, count, _too_few(count, _LEAST_NETWORKS))
    if len(set(ones)) == 1 or len(set(others)) == 1:
        return Correlation(None, None, count, "one of them measured the same value for all networks")
    value = float(np.clip(scipy.stats.spearmanr(ones, others).statistic, -1.0, 1.0))
    perfect = math.isclose(abs(value), 1.0)
    finite = math.copysign(1 - 12 / (count**3 - count), value) if perfect else value
    half_width = scipy.stats.norm.ppf((1 + _CONFIDENCE) / 2) * math.sqrt((1 + finite**2 / 2) / (count - 3))
    low, high = (math.tanh(math.atanh(finite) + side * half_width) for side in (-1, 1))
    if perfect:
        low, high = (low, 1.0) if value > 0 else (-1.0, high)
    return Correlation(value, (low, high), count, None)


def disagreement(widths: Sequence[Mapping[str, int]], ones: Sequence[float], others: Sequence[float]) -> Disagreement:
    """Which layers' widths move two devices apart: ``ones`` and ``others`` are their latencies for networks of ``widths``.

    Ordinary least squares of log(other / one) on the binary logarithm of every layer's width, so that halving a layer means
    the same wherever it begins; the intercept takes what one device is faster by throughout. Intervals are Student's.
    """
    count = len(widths)
    names = list(widths[0]) if widths else []
    least = max(_LEAST_NETWORKS, len(names) + 2)
    if count < least:
        return Disagreement({}, count, _too_few(count, least))
    free = count - len(names) - 1
    design = np.column_stack([np.ones(count), np.log2([[row[name] for name in names] for row in widths])])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return Disagreement({}, count, f"in the {count} networks that both measured, widths do not vary independently")
    ratio = np.log(np.asarray(others) / np.asarray(ones))
    slopes, *_ = np.linalg.lstsq(design, ratio)
    variance = float(np.sum((ratio - design @ slopes) ** 2)) / free
    deviations = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    half_widths = scipy.stats.t.ppf((1 + _CONFIDENCE) / 2, free) * deviations
    layers = {
        name: Effect(math.exp(-slope), (math.exp(-slope - half), math.exp(-slope + half)))
        for name, slope, half in zip(names, slopes[1:], half_widths[1:], strict=True)
    }
    return Disagreement(layers, count, None)


def _too_few(count: int, least: int) -> str:
    return f"both measured {count} networks, and {least} are the least"
