"""What a Raspberry Pi's firmware says about its power and heat: the bits of ``vcgencmd get_throttled``."""

from __future__ import annotations

# As the Raspberry Pi documentation of vcgencmd has them.
_WORDS = (
    "under-voltage",
    "its clock is capped",
    "its clock is throttled",
    "the soft temperature limit is reached",
)
_LATCHED = 16  # the same once since the firmware's start
_NOW = (1 << len(_WORDS)) - 1


def now(bits: int) -> int:
    """Those of the bits that are about now."""
    return bits & _NOW


def latched(bits: int) -> int:
    """What happened once since the start, as bits of now."""
    return bits >> _LATCHED & _NOW


def meanwhile(before: int | None, after: int | None) -> int:
    """What was so at either time or came between them, as bits of now; what was latched before is of no consequence.

    None is for a time at which the firmware did not tell: then nobody knows what came between.
    """
    if before is None or after is None:
        return now(before or 0) | now(after or 0)
    return now(before) | now(after) | latched(after) & ~latched(before)


def words(bits: int) -> str:
    """Bits of now, in words."""
    return ", ".join(word for number, word in enumerate(_WORDS) if bits >> number & 1)
