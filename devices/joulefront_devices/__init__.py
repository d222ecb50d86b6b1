"""What a device is: profiles, one TOML file a board; the user's own devices; and how to find one by its name."""

from joulefront_devices.device import Device, load
from joulefront_devices.profile import Profile, profile, profiles

__all__ = ["Device", "Profile", "load", "profile", "profiles"]
