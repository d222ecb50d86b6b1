"""Tuning: which variant of each kernel is quickest on a device, and what was found so far."""
