"""Metric rows grouped by some of their columns, on pandas; the one rule of pooling folds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tenter.measurement.metric_tables import ENSEMBLE
from tenter.records import MetricRow
from tenter.statistics.lines import ALL

COLUMNS = ("model", "set", "fold", "role", "label", "metric", "unit")
"""Columns by which rows can be grouped, in the order of the summary."""

_ROW = "row"


def frame(rows: Sequence[MetricRow]) -> pd.DataFrame:
    """The columns to group by, and each row itself in the column `row`."""
    columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    return pd.DataFrame({**columns, _ROW: list(rows)}, dtype=object)


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that count in fold `all`: of a model and set that have an ensemble, its rows alone.

    Pairs that the models of all folds registered have rows of each fold and of the ensemble.
    """
    of_ensemble = rows["fold"] == ENSEMBLE
    have_ensemble = of_ensemble.groupby([rows["model"], rows["set"]]).transform("any")
    return rows[of_ensemble | ~have_ensemble.astype(bool)]


def with_all_folds(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, followed by those that count in fold `all`."""
    return pd.concat([rows, pooled(rows).assign(fold=ALL)])


def with_all_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of single labels, followed by all rows with an empty label: all of the role.

    Points are many and differ from pair to pair, so single points are left out.
    """
    single = rows[(rows["label"] != "") & (rows["role"] != "points")]
    return pd.concat([single, rows.assign(label="")])


def grouped(
    rows: pd.DataFrame, columns: Sequence[str] = COLUMNS
) -> dict[tuple[str, ...], list[MetricRow]]:
    """The rows of each combination of values in these columns, sorted by these values."""
    parts = rows.groupby(list(columns), sort=True)[_ROW]
    return {tuple(map(str, values)): list(part) for values, part in parts}
