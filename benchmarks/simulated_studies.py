"""Studies of a simulated device whose true median latency is known: what repeats of a network would have given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Numbers = NDArray[np.floating]

SAMPLES = 100  # a repeat
_POPULATION = 200_000
_CORRELATION = 0.9
_SLOWER = 0.1


@dataclass(frozen=True, slots=True)
class Case:
    """How latencies vary, relative to 1: ``between`` repeats and ``within`` them as standard deviations.

    Within a repeat they are independent, or ``correlated``: AR(0.9). ``slower`` says by how much the device is slower at
    times of the session, from 0 to 1, of shape (…); it may draw. A repeat begins at a random moment of its own share of
    the session, as rounds in shuffled order do.
    """

    words: str
    between: float = 0.003
    within: float = 0.02
    correlated: bool = False
    slower: Callable[[Numbers, np.random.Generator], Numbers] = lambda times, _: np.zeros_like(times)

    def figures(self, studies: int, repeats: int, random: np.random.Generator) -> Numbers:
        """What each repeat's median comes to, of shape (studies, repeats)."""
        times = (np.arange(repeats) + random.uniform(size=(studies, repeats))) / repeats
        return 1 + self.slower(times, random) + self._noise((studies, repeats), random)

    def truth(self, random: np.random.Generator, until: float = 1.0) -> float:
        """The median of all repeats that could have been made at any moment of the session, or of its first part."""
        times = until * random.uniform(size=_POPULATION)
        noise = random.choice(self._noise((100, 200), random).ravel(), _POPULATION)
        return float(np.median(1 + self.slower(times, random) + noise))

    def _noise(self, shape: tuple[int, ...], random: np.random.Generator) -> Numbers:
        found = np.empty(shape)
        for index in np.ndindex(shape[0]):  # one study at a time: all of their samples would be much memory
            fresh = random.standard_normal((*shape[1:], SAMPLES))
            if self.correlated:
                first = fresh[..., :1]
                later = math.sqrt(1 - _CORRELATION**2) * fresh[..., 1:]
                fresh = lfilter([1.0], [1.0, -_CORRELATION], np.concatenate([first, later], axis=-1), axis=-1)
            found[index] = np.median(fresh, axis=-1)
        return self.within * found + self.between * random.standard_normal(shape)


def drifting(share: float, between: float = 0.003) -> Case:
    """Slower by ``share`` at the session's end than at its begin, steadily."""
    words = f"a steady drift of {share:.1%} over the session"
    return Case(words, between, slower=lambda times, _: share * (times - 0.5))


def step(times: Numbers, _: np.random.Generator) -> Numbers:
    """Throttled in the last third."""
    return _SLOWER * (times > 2 / 3)


def sawtooth(times: Numbers, _: np.random.Generator) -> Numbers:
    """Hotter and hotter, then throttled, again and again, in the last third."""
    return _SLOWER * np.where(times > 2 / 3, (times * 12) % 1, 0.0)


def now_and_then(times: Numbers, random: np.random.Generator) -> Numbers:
    """Throttled in three of ten moments, whenever."""
    return _SLOWER * (random.uniform(size=times.shape) < 0.3)


def bending(times: Numbers, _: np.random.Generator) -> Numbers:
    """Warming up: 3 % in all, most of it in the first quarter."""
    return 0.03 * (1 - np.exp(-4 * times))


CASES = {
    "independent": Case("independent samples"),
    "autocorrelated": Case("samples AR(0.9) within a repeat", correlated=True),
    "autocorrelated alone": Case("samples AR(0.9) within a repeat, repeats alike", between=0.0, correlated=True),
    "drift 0.5 %": drifting(0.005),
    "drift 1 %": drifting(0.01),
    "drift 3 %": drifting(0.03),
    "warming up": Case("3 % slower, most of it in the first quarter", slower=bending),
    "throttled, step": Case("10 % slower in the last third", slower=step),
    "throttled, sawtooth": Case("up to 10 % slower in the last third, four times", slower=sawtooth),
    "throttled, some": Case("10 % slower in three repeats of ten, at random", slower=now_and_then),
}
