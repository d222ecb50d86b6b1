"""What a search may choose, as genes; so few that a search can learn what each is worth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from joulefront.errors import ConfigError
from joulefront.problems import nearest
from joulefront.space_records import Gene, Option, inside

MOST_GENES = 40
"""So many genes a space has at most where it is left to share them: with more, a few hundred evaluations learn little."""

Shared = Literal["auto", "none"] | tuple[str, ...]


def width_genes(widths: Mapping[str, tuple[int, ...]], shared: Shared, room: int = MOST_GENES) -> list[Gene]:
    """A gene for each group of ``widths``, or for those together that ``shared`` says (see ``together``) to find ``room``.

    A gene of one group chooses its width; one of several chooses a share, of which each takes the nearest legal width.
    Raises ConfigError.
    """
    genes = []
    for name, members in together(list(widths), shared, max(room, 1)).items():
        if len(members) == 1:
            genes.append(Gene(members[0], widths[members[0]]))
            continue
        finest = max((widths[member] for member in members), key=len)
        shares = [width / finest[-1] for width in finest]
        values = {member: tuple(_nearest(widths[member], share) for share in shares) for member in members}
        genes.append(Gene(name, tuple(shares), "width", tuple(values.items())))
    return genes


def block_genes(blocks: Sequence[str]) -> list[Gene]:
    """A gene for each block that can be taken out."""
    return [Gene(name, (0, 1), "block") for name in blocks]


def sparsity_genes(layers: Sequence[str], shares: Sequence[float], shared: Shared, room: int) -> list[Gene]:
    """A gene for each layer, or for those together that ``shared`` says, at most ``room``: ``shares`` of zeros, or none.

    Raises ConfigError.
    """
    options: tuple[Option, ...] = (*sorted(set(shares), reverse=True), 0.0)
    return [
        Gene(f"zeros of {name}", options, "sparsity", tuple((member, options) for member in members))
        for name, members in together(layers, shared, max(room, 1)).items()
    ]


def criterion_genes(criteria: Sequence[str], own: str) -> list[Gene]:
    """One gene for the criterion, if there is a choice: ``criteria``, and the study's ``own`` last."""
    options = (*dict.fromkeys(name for name in criteria if name != own), own)
    return [Gene("criterion", options, "criterion")] if len(options) > 1 else []


def together(names: Sequence[str], shared: Shared, most: int) -> dict[str, list[str]]:
    """Which layers have a gene together: what the gene is called, and the layers, in their order.

    "none" leaves each to itself, and so does "auto" as long as there are no more than ``most``. Then layers of one role share
    one: those whose names differ in a number, the last number first (``layer1.0.conv1`` and ``layer1.1.conv1`` become
    ``layer1.*.conv1``), then the last two, and so on; at last all layers of one part of the network, or all of them. Given
    prefixes make the layers below each of them share one. Raises ConfigError for a prefix that no layer has.
    """
    if isinstance(shared, tuple):
        return _below(names, shared)
    levels = [list(names)]
    if shared == "auto":
        deepest = max((len(_NUMBER.findall(name)) for name in names), default=0)
        levels += [[_starred(name, count) for name in names] for count in range(1, deepest + 1)]
        levels += [[name.split(".")[0] for name in names], ["all layers"] * len(names)]
    for keys in levels:
        found: dict[str, list[str]] = {}
        for key, name in zip(keys, names, strict=True):
            found.setdefault(key, []).append(name)
        if len(found) <= most or shared == "none":
            break
    return {members[0] if len(members) == 1 else key: members for key, members in found.items()}


_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def _starred(name: str, count: int) -> str:
    """The name with its last ``count`` numbers, of those that are a whole part of it, replaced by a star."""
    spans = [match.span() for match in _NUMBER.finditer(name)][-count:]
    for begin, end in reversed(spans):
        name = f"{name[:begin]}*{name[end:]}"
    return name


def _below(names: Sequence[str], prefixes: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        key = max((prefix for prefix in prefixes if inside(name, [prefix])), key=len, default=name)
        found.setdefault(key, []).append(name)
    for prefix in prefixes:
        if prefix not in found:
            above = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}
            raise ConfigError(f"space.shared: no layer that can be cut lies below {prefix!r}; {nearest(prefix, above)}")
    return {members[0] if len(members) == 1 else key: members for key, members in found.items()}


def _nearest(widths: Sequence[int], share: float) -> int:
    return min(widths, key=lambda width: abs(width - share * widths[-1]))
