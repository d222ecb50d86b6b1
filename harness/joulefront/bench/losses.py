"""A device that is lost while it works: what was begun is done anew when it is there again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from joulefront.bench.session import Session
from joulefront.errors import CandidateError, ConnectionLost

Outcome = TypeVar("Outcome")

# So often work is begun anew after the connection was lost, before the way to the device counts as broken.
_MOST_LOSSES = 5


class Booted(Exception):  # noqa: N818 -- no error, but news for whoever measures
    """The device booted while something was under way: before and after, it is not the same."""


def undisturbed(session: Session, work: Callable[[], Outcome], *, since: str | None) -> Outcome:
    """What ``work`` returns; it is done anew, all of it, when the connection was lost meanwhile.

    Raises Booted when the device has booted ``since`` that boot, ConnectionLost when that way is lost again and again, and
    whatever ``work`` raises.
    """
    losses, lost = 0, False
    while True:
        try:
            if lost:
                session.renew()
                lost = False
            if session.boot != since:
                raise Booted
            outcome = work()
        except ConnectionLost:
            losses, lost = losses + 1, True
            if losses > _MOST_LOSSES:
                raise
        except CandidateError as error:
            if session.boot != since:  # what it failed of may have been the boot
                raise Booted from error
            raise
        else:
            if session.boot != since:
                raise Booted
            return outcome
