"""How to read the numbers: what each word and each interval means, in a sentence or two."""

from __future__ import annotations

_TEXT = """
provenance: Measured: read on the device by its clock and its meter. Simulated: read on an emulated machine, whose time is
  not that of any board. Estimated: computed, not read. What is missing has a reason, never a zero.
latency: The median time of one inference by the runtime's own timer: the median of the repeats' medians.
interval of latency: 95 %, from the spread between the repeats: ± t(0.975, n - 1) · sqrt(π / 2) · s / sqrt(n), with s the
  standard deviation of the n repeats' medians. It says how well that session knows the median, not what another day brings.
interval of energy: 95 %, from the window's edges, the steps of the sensor's counter and the latency's spread. The sensor's
  own gain is not in it. Energy is gross: what the meter covers, idle draw included.
interval of accuracy: 95 % by Wilson (1927): how it would differ on other examples of the same kind. Networks judged on the
  same examples are compared by value.
front: What no other network beats: at least as good in everything and, beyond the intervals, better in something. Networks
  that measurement cannot tell apart all stay. Screened and settled networks are never mixed.
hypervolume: The share of a box that the front dominates (Zitzler and Thiele 1999). The box goes from 0 to a little worse
  than the unpruned network: 20 points of error above its own, 1.1 times its costs. Intervals do not enter.
knee: The network nearest to the front's ideal point, each objective counted in the front's own range (Zeleny 1973). It is a
  suggestion: what a point of accuracy is worth, only you know.
"""


def reading() -> list[tuple[str, str]]:
    """Each word with what it means, in the order in which a reader meets them."""
    paragraphs = [" ".join(part.split()) for part in _TEXT.strip().replace("\n  ", " ").splitlines()]
    return [(word, text) for word, text in (paragraph.split(": ", 1) for paragraph in paragraphs)]
