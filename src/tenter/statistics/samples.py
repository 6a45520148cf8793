"""The values of metric rows as samples, each with its patients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tenter.measurement.metric_tables import counted
from tenter.records import MetricRow
from tenter.statistics.dependence import Patients, Values

BEFORE, AFTER = 0, 1
"""Sides of `metric_tables.counted`."""


def sample(rows: Iterable[MetricRow], side: int) -> tuple[Values, Patients]:
    """The values that count before or after registration, and the patients of each.

    Args:
        rows: of one metric; those without such a value are left out.
        side: `BEFORE` or `AFTER`.
    """
    measured = [(value, row.patients) for row in rows if (value := counted(row)[side]) is not None]
    values = np.array([value for value, _ in measured], dtype=np.float64)
    return values, [patients for _, patients in measured]


def pair_count(rows: Iterable[MetricRow]) -> int:
    """Number of pairs."""
    return len({row.pair for row in rows})


def patient_count(rows: Iterable[MetricRow]) -> int:
    """Number of patients; both patients of a pair of two subjects count."""
    return len({patient for row in rows for patient in row.patients})


def pair_means(rows: Sequence[MetricRow]) -> dict[str, tuple[float, float]]:
    """Mean before and after over the labels of each pair, of rows that count on both sides."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        before, after = counted(row)
        if before is not None and after is not None:
            pairs.setdefault(row.pair, []).append((before, after))
    means = {pair: np.mean(values, axis=0).tolist() for pair, values in pairs.items()}
    return {pair: (before, after) for pair, (before, after) in means.items()}
