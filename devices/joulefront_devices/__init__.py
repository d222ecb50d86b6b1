"""What a device is: profiles, one TOML file a board, and how to find one by its name."""

from joulefront_devices.device import Device, load, profiles

__all__ = ["Device", "load", "profiles"]
