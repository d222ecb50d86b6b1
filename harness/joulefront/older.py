"""What earlier versions recorded, as this one would have: they knew no pruning but of widths."""

from __future__ import annotations

from typing import Any


def record(stored: Any) -> Any:
    """A trial or a visit."""
    candidate = stored.get("candidate") if isinstance(stored, dict) else None
    if not isinstance(candidate, dict) or "widths" not in candidate:
        return stored
    rest = {name: value for name, value in candidate.items() if name != "widths"}
    return {**stored, "candidate": {**rest, "pruning": {"widths": candidate["widths"]}}}


def fact(name: str, stored: dict[str, Any]) -> dict[str, Any]:
    """A frozen fact."""
    if name != "space":
        return stored
    genes = [
        {"name": gene["name"], "options": gene["widths"]} if isinstance(gene, dict) and "widths" in gene else gene
        for gene in stored.get("genes", ())
    ]
    return {**stored, "genes": genes}
