"""The metric families: the strict one, and those of challenges, named `<family>_<metric>`."""

from __future__ import annotations

from tenter.metrics import learn2reg, muregpro, strict

STRICT = "strict"

FAMILIES = {STRICT: strict.UNITS, "learn2reg": learn2reg.UNITS, "muregpro": muregpro.UNITS}
"""Metrics of each family, with their units."""

UNITS = {metric: unit for units in FAMILIES.values() for metric, unit in units.items()}
"""Unit of every metric."""


def family(metric: str) -> str:
    """The family that a metric belongs to; `strict` for an unknown metric."""
    return next((name for name, units in FAMILIES.items() if metric in units), STRICT)
