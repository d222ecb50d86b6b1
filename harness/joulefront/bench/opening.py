"""A device is opened: its lock is taken, its agent started and greeted, and the machine that it turns out to be locked, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from joulefront import plugins
from joulefront.bench import lock
from joulefront.bench.session import Session
from joulefront.protocols import Transport
from joulefront_devices.device import Device

TRANSPORTS = {
    "local": "joulefront.bench.local:LocalTransport",
    "ssh": "joulefront.bench.ssh:SshTransport",
}


@contextmanager
def opened(device: Device) -> Iterator[Session]:
    """A session with the device's agent, which nobody else has meanwhile.

    Raises ConfigError for a device that is described wrongly, and BenchError when it cannot be reached or is in use.
    """
    with ExitStack() as stack:
        stack.enter_context(lock.hold(device.name))
        where = f"device {device.name}: [transport]"
        transport: Transport = plugins.build(device.transport, TRANSPORTS, folder=Path.cwd(), where=where)
        stack.callback(transport.close)
        session = stack.enter_context(Session(transport, device.sensor, device.governor))
        stack.enter_context(lock.hold(device.name, machine=str(session.facts["machine"])))
        yield session
