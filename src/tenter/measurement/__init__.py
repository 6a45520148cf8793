"""Registered pairs, measured against their own labels and points, and the tables of these figures."""
