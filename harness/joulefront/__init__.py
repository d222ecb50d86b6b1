"""Joulefront: pruned networks whose accuracy, latency and energy were measured on the device that will run them."""
