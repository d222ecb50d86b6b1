"""What others wrote, made fit for a terminal: a device's banner or facts must not move its cursor or set its title."""

from __future__ import annotations

import re
from typing import Any

# C0 but newline and tab, DEL, C1, what turns the direction of writing around, and halves of characters.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""The text with each control character as it is escaped in Python, such as ``\x1b``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def all_visible(document: Any) -> Any:
    """A document of dicts, lists and scalars, with every text in it ``visible``."""
    if isinstance(document, str):
        return visible(document)
    if isinstance(document, dict):
        return {all_visible(key): all_visible(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [all_visible(value) for value in document]
    return document
