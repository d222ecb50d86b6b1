"""What is pruned of a network, as documents have it and as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulefront.space_records import Gene, Pruning, inside


def pruned(pruning: Pruning) -> dict[str, Any]:
    """The entries that every document about a network has."""
    return {
        "widths": dict(pruning.widths),
        "dropped": list(pruning.dropped),
        "sparsity": dict(pruning.sparsity),
        "criterion": pruning.criterion or None,
    }


def pruning_of(document: Mapping[str, Any]) -> Pruning:
    """What ``pruned`` was made of."""
    return Pruning(
        document["widths"], tuple(document["dropped"]), document["sparsity"], document.get("criterion") or ""
    )


def pruning_words(document: Mapping[str, Any], *, named: bool) -> Sequence[str]:
    """What is pruned, a few words each; widths with their layers' names if ``named``, which a heading may give otherwise.

    What a document says of the inside of a block that is out counts for nothing: such a width is a dash, or is left out if
    ``named``.
    """
    dropped = document["dropped"]
    gone = {name for name in (*document["widths"], *document["sparsity"]) if inside(name, dropped)}
    if named:
        words = [f"{name} {width}" for name, width in document["widths"].items() if name not in gone]
    else:
        words = ["–" if name in gone else str(width) for name, width in document["widths"].items()]
    words += [f"without {block}" for block in dropped]
    shares = {layer: share for layer, share in document["sparsity"].items() if layer not in gone}
    zeros: dict[str, list[str]] = {}
    for layer, share in shares.items():
        if share:
            zeros.setdefault(f"{share:.0%} zeros", []).append(layer)
    for text, layers in zeros.items():
        everywhere = not named and len(layers) == len(shares)
        words.append(text if everywhere else f"{text} of {', '.join(layers)}")
    return [*words, *([f"by {document['criterion']}"] if document.get("criterion") else [])]


def pruning_text(document: Mapping[str, Any]) -> str:
    """What is pruned, in one line, the widths without their names."""
    return " ".join(pruning_words(document, named=False))


def option_text(gene: Gene, index: int) -> str:
    """An option of a gene, as people read it."""
    option = gene.options[index]
    if gene.kind == "block":
        return "kept" if option else "out"
    if isinstance(option, float):  # a share: of zeros, or of the widths that the gene decides together
        return f"{option:.0%}" + (" zeros" if gene.kind == "sparsity" else "")
    return str(option)
