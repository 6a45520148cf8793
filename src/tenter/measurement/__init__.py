"""Registered pairs measured against their own labels and points, and tables of these metrics."""
