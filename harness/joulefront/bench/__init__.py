"""The bench: a session with a device, and the measuring protocol."""
