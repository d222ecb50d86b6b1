"""The bench: a session with a device, and the measuring protocol."""

from joulefront.bench.bench import TRANSPORTS, Bench

__all__ = ["TRANSPORTS", "Bench"]
