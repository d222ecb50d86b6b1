"""The bench: a session with a device, and the measuring protocol."""

from joulefront.bench.bench import Bench
from joulefront.bench.opening import TRANSPORTS

__all__ = ["TRANSPORTS", "Bench"]
