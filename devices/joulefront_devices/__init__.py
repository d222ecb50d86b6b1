"""What a device is: profiles, one TOML file a board, and how to find one by its name."""
