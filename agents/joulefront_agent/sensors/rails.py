"""Which of a board's rails are all that it takes: by their labels, which NVIDIA's boards have."""

from __future__ import annotations

from collections.abc import Collection

UNWIRED = "NC"

_INPUTS = ("VDD_IN", "POM_5V_IN")

# AGX Orin has no input of the module. Its fourth rail, VDDQ_VDD2_1V8AO, is taken for a part of VIN_SYS_5V0 and left
# out, or it would count twice; no primary source for that was found, and some tools add it: so what it covers says it.
_ORIN = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")

# AGX Xavier has none either. Its design guide (DG-09840, figure 5-14) draws the resistors of these six one beside another;
# that none of them feeds another is read off that figure, no sentence says so.
_XAVIER = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")


def is_input(label: str) -> bool:
    """Whether the rail is the input of the whole module, of which the others are parts."""
    return label in _INPUTS


def parts(labels: Collection[str]) -> tuple[str, ...] | None:
    """The rails whose sum is nearest to all, None where one of them is missing or there is an input of the module."""
    if any(is_input(label) for label in labels):
        return None
    return next((rails for rails in (_ORIN, _XAVIER) if set(rails) <= set(labels)), None)


def covered(rails: Collection[str], labels: Collection[str]) -> str:
    """What such a sum covers, in words, and which of the board's rails, by their ``labels``, it leaves out."""
    others = [label for label in labels if label and label not in rails]
    return f"rails {', '.join(rails)}{' without ' + ', '.join(others) if others else ''}; not the whole board"


def rail(label: str) -> str:
    """What a rail covers, in words."""
    return f"module input {label}" if is_input(label) else f"rail {label}"
