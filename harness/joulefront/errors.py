"""What can go wrong, and whose fault it is.

    JoulefrontError
    ├─ ConfigError      the user's file or argument: what, where, what was expected
    ├─ CandidateError   this genome's fault: recorded, the search is told, the study goes on
    │    PruneError · TrainError · CompileError · OutOfMemory · WrongOutput · Hung · Crashed
    └─ BenchError       never the genome's fault: retried, then the study stops and can be resumed
         TransportError · ConnectionLost · LoginRefused · HostKeyError · AgentDied · AgentTimeout · WireMismatch ·
         MeterError · Unsettled · DeviceBusy · StoreError

Every error holds one message that says what happened, where, and what to do about it. Libraries raise; only the command
line prints and exits, with the error's ``exit_code``.
"""

__all__ = [
    "AgentDied",
    "AgentTimeout",
    "BenchError",
    "CandidateError",
    "CompileError",
    "ConfigError",
    "ConnectionLost",
    "Crashed",
    "DeviceBusy",
    "HostKeyError",
    "Hung",
    "JoulefrontError",
    "LoginRefused",
    "MeterError",
    "OutOfMemory",
    "PruneError",
    "StoreError",
    "TrainError",
    "TransportError",
    "Unsettled",
    "WireMismatch",
    "WrongOutput",
]


class JoulefrontError(Exception):
    """The root: whatever Joulefront raises on purpose."""

    exit_code = 1


class ConfigError(JoulefrontError):
    """The user's file or argument is wrong: the message names the path, the key, what was expected and a hint."""

    exit_code = 2


class CandidateError(JoulefrontError):
    """This candidate cannot be made or run: it is recorded with its reason, and the study goes on."""

    exit_code = 2


class PruneError(CandidateError):
    """The model cannot be cut this way."""


class TrainError(CandidateError):
    """Fine-tuning or validation failed, or ended in numbers that are not finite."""


class CompileError(CandidateError):
    """The model cannot be exported or compiled for the target."""


class OutOfMemory(CandidateError):  # noqa: N818 -- the name of the fact
    """The candidate needs more memory than there is."""


class WrongOutput(CandidateError):  # noqa: N818
    """On the device, the compiled candidate computes something else than torch does."""


class Hung(CandidateError):  # noqa: N818
    """The candidate did not finish in its time, while the reference model did."""


class Crashed(CandidateError):  # noqa: N818
    """The candidate's process died, in its making or on the device, while the reference model's did not."""


class BenchError(JoulefrontError):
    """The device, the way to it or the host failed: the study stops, and the same command resumes it."""

    exit_code = 3


class TransportError(BenchError):
    """The device cannot be reached, or a file cannot be shipped to it."""


class ConnectionLost(TransportError):  # noqa: N818
    """The connection to the device was there and is no more: it rebooted, or the way to it failed."""


class LoginRefused(TransportError):  # noqa: N818
    """The device is there and takes none of the keys that it was offered."""


class HostKeyError(BenchError):
    """The host key that a device shows is not known, or is another one than is known: nobody was logged in.

    ``key`` is what it showed, as a line of known_hosts without the name ("ssh-ed25519 AAAA…"); ``fingerprint`` its
    SHA256 as OpenSSH writes it ("SHA256:…"); ``changed`` whether another one was known.
    """

    def __init__(self, message: str, *, key: str, fingerprint: str, changed: bool) -> None:
        super().__init__(message)
        self.key = key
        self.fingerprint = fingerprint
        self.changed = changed


class AgentDied(BenchError):  # noqa: N818
    """The agent on the device ended without being asked to."""


class AgentTimeout(BenchError):  # noqa: N818
    """The agent did not answer in time."""


class WireMismatch(BenchError):  # noqa: N818
    """The agent speaks another version of the protocol, or not the protocol at all."""


class MeterError(BenchError):
    """A power meter was there and gave readings that cannot be used."""


class Unsettled(BenchError):  # noqa: N818
    """The device does not hold still for a measurement, such as a processor that is throttled again and again."""


class DeviceBusy(BenchError):  # noqa: N818
    """Another session holds the device."""


class StoreError(BenchError):
    """The host's disk or database refused a write, or holds something that cannot be read."""
