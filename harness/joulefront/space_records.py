"""What a search may choose from, and what a choice prunes: records as those of ``records``, and below them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Genome = tuple[int, ...]
"""One index per gene of a Space, into the gene's ``options``."""

Option = int | float | str

GeneKind = Literal["width", "block", "sparsity", "criterion"]


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice, from the most pruned of its ``options`` to the unpruned one, which is last.

    ``width``: how many channels (heads' or hidden units' as well) a group of coupled layers keeps; ``name`` is the qualified
    name of the group's first layer. ``block``: whether a residual block is taken out (0) or kept (1). ``sparsity``: the
    share of a layer's weights that are zero. ``criterion``: the name of what judges; the study's own is last.

    A gene that decides several things together has them as ``members``: each one's name, and its value for each option.
    The options of several widths are shares of the full one.
    """

    name: str
    options: tuple[Option, ...]
    kind: GeneKind = "width"
    members: tuple[tuple[str, tuple[Option, ...]], ...] = ()

    @property
    def decides(self) -> tuple[tuple[str, tuple[Option, ...]], ...]:
        """Each thing that the gene decides, with its value for each option."""
        return self.members or ((self.name, self.options),)

    def kept(self, index: int) -> float:
        """The share, 0 to 1, that the option at ``index`` keeps of what there is; 1 for what takes nothing away."""
        option, whole = self.options[index], self.options[-1]
        if isinstance(option, str) or isinstance(whole, str):
            return 1.0
        return 1.0 - option if self.kind == "sparsity" else option / whole


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is pruned of a model: what a genome stands for, and with the model all that makes a candidate the one it is.

    ``widths`` holds how many channels each group keeps, by the group's name: groups that are not named stay whole. ``dropped``
    are the blocks that are taken out. ``sparsity`` is the share of zeros among a layer's weights, by the layer's name.
    ``criterion`` is the name of what judged, where that was a choice; empty for the study's own.
    """

    widths: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    sparsity: Mapping[str, float] = field(default_factory=dict)
    criterion: str = ""

    @property
    def text(self) -> str:
        """One line that says it all, such as "conv1=8 conv2=16 without stage1.1 taylor"."""
        words = [f"{name}={width}" for name, width in self.widths.items() if not inside(name, self.dropped)]
        words += [f"without {block}" for block in self.dropped]
        shares = {layer: share for layer, share in self.sparsity.items() if share and not inside(layer, self.dropped)}
        words += [f"{share:.0%} zeros of {layer}" for layer, share in shares.items()]
        return " ".join([*words, self.criterion]).strip()


def inside(name: str, modules: Collection[str]) -> bool:
    """Whether the tensor or module of the qualified ``name`` is one of the ``modules`` or lies in one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


@dataclass(frozen=True, slots=True)
class Space:
    """Everything that a search may choose from."""

    genes: tuple[Gene, ...]

    @property
    def full(self) -> Genome:
        """The genome of the unpruned network."""
        return tuple(len(gene.options) - 1 for gene in self.genes)

    @property
    def size(self) -> int:
        """How many genomes there are."""
        count = 1
        for gene in self.genes:
            count *= len(gene.options)
        return count

    def uniform(self, ratio: float) -> Genome:
        """The genome that keeps about the share ``ratio`` of every gene's channels (the nearest legal width).

        Nothing else is pruned.
        """
        return tuple(
            min(range(len(gene.options)), key=lambda index, gene=gene: abs(gene.kept(index) - ratio))  # type: ignore[misc]
            if gene.kind == "width"
            else len(gene.options) - 1
            for gene in self.genes
        )

    def pruning(self, genome: Genome) -> Pruning:
        """What a genome stands for."""
        chosen: dict[GeneKind, dict[str, Any]] = {"width": {}, "block": {}, "sparsity": {}, "criterion": {}}
        for gene, index in zip(self.genes, genome, strict=True):
            chosen[gene.kind] |= {name: values[index] for name, values in gene.decides}
        return Pruning(
            chosen["width"],
            tuple(name for name, kept in chosen["block"].items() if not kept),
            chosen["sparsity"],
            next(iter(chosen["criterion"].values()), ""),
        )
