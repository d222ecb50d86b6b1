"""How to read the numbers: what each word and each interval means, in a sentence or two."""

from __future__ import annotations

_TEXT = """
provenance: Measured: read on the device by its clock and its meter. Simulated: read on an emulated machine, whose time is
  not that of any board. Estimated: computed, not read. What is missing has a reason, never a zero.
latency: The median time of one inference by the runtime's own timer: the median of the repeats' medians.
interval of latency: 95 %, from the spread between the repeats' medians around a straight line through them (Student's t
  on the median; a steady drift is taken out). It says how well that session knows the median, not what another day brings.
latency p99: The 99th percentile of each repeat's inferences: the median of the repeats', and the interval from their spread,
  as of the latency. There is none of fewer than 1,000 inferences, 100 of each repeat.
peak memory: The most that loading the network and running it adds to its process: pages of its own, and those of the
  library that were touched. While TVM loads a library, it holds the weights several times. The kernel counts in batches, so
  that about a tenth of a megabyte is noise.
packed library: Its size as zlib packs it, at level 6: that is where zeros pay.
energy: Joules of one inference, gross: what the meter covers took, idle draw included. Net is what is left of them when the
  same device idles for as long. Power is the mean while the network ran.
interval of energy: 95 %, from the spread between windows, their edges, the steps of the meter, and how far its scale may be
  off where anybody says so; each trial shows the parts. The gain and a calibration's factor are the same for all networks of a
  study: they are no part of what tells two of them apart.
energy-delay product: Joules times seconds of one inference (Horowitz 1994): the less the better for both.
indicative: An interval that may hold the truth in fewer than 95 % of cases, marked by a tilde, and the reason is given:
  repeats that are too few, or not spread as noise is.
drift: The unpruned network measured again and again while the study goes on, as a ratio of what it took at first.
set aside: A repeat that was no measurement, such as one of a throttled processor, and was made again.
interval of accuracy: 95 % by Wilson (1927): how it would differ on other examples of the same kind. Networks judged on the
  same examples are compared by value.
precision, recall, F1 error: 1 less the average over the classes that occur, each of the same weight. Their intervals are
  95 % by a bootstrap over the examples (Efron 1979).
front: What no other network beats: at least as good in everything and, beyond the intervals, better in something. Networks
  that measurement cannot tell apart all stay. Screened and settled networks are never mixed.
hypervolume: The share of a box that the front dominates (Zitzler and Thiele 1999). The box goes from 0 to a little worse
  than the unpruned network: 20 points of error above its own, 1 above its loss, 1.1 times its costs. Intervals do not enter.
knee: The network nearest to the front's ideal point, each objective counted in the front's own range (Zeleny 1973). It is a
  suggestion: what a point of accuracy is worth, only you know.
"""


def reading() -> list[tuple[str, str]]:
    """Each word with what it means, in the order in which a reader meets them."""
    paragraphs = [" ".join(part.split()) for part in _TEXT.strip().replace("\n  ", " ").splitlines()]
    return [(word, text) for word, text in (paragraph.split(": ", 1) for paragraph in paragraphs)]
