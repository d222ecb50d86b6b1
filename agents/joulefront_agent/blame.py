"""What kind of failure it is that a process ended by, or that was raised in it."""

from __future__ import annotations

import signal

from joulefront_agent.wire import Failure, WireError

_SHORT_OF_MEMORY = ("memoryerror", "bad_alloc", "cannot allocate memory", "out of memory", "failed to allocate")
_TAIL_B = 2000


def of_error(error: Exception) -> Failure:
    """The failure for whatever the runtime raised: it raises anything."""
    if isinstance(error, Failure):
        return error
    message = f"{type(error).__name__}: {error}"
    return Failure("OutOfMemory" if _short_of_memory(message) else "Crashed", message[-_TAIL_B:])


def of_end(code: int, errors: bytes) -> Failure:
    """The failure for how a process ended: its exit status, and the end of its stderr."""
    tail = last_words(errors)
    if code == -signal.SIGKILL:
        return Failure(
            "OutOfMemory", f"its process was killed (SIGKILL), as the kernel does when memory runs out{tail}"
        )
    if _short_of_memory(tail):
        return Failure("OutOfMemory", f"its process ended for lack of memory{tail}")
    end = f"died of {_signal(-code)}" if code < 0 else f"ended with exit status {code}"
    return Failure("Crashed", f"its process {end}{tail}")


def nonsense(error: WireError, errors: bytes) -> Failure:
    """The failure for an answer that is none."""
    return Failure("Crashed", f"its process answered nonsense: {error}{last_words(errors)}")


def last_words(errors: bytes) -> str:
    """The end of a process's stderr, as it follows a message."""
    text = errors[-_TAIL_B:].decode("utf-8", errors="replace").strip()
    return f"; its last words: {text}" if text else ""


def _short_of_memory(text: str) -> bool:
    return any(phrase in text.lower() for phrase in _SHORT_OF_MEMORY)


def _signal(number: int) -> str:
    """A signal's name; most real-time signals have none."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
