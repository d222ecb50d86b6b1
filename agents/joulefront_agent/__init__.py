"""The program that runs on a device: it loads compiled networks, times them and reads the device's sensors."""
