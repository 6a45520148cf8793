"""Metrics of a registration: arrays in, numbers out; no file access."""
