"""The figures of `metrics.tsv` in the groups that a report shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tenter.measurement import metric_tables
from tenter.metrics.definitions import Metric, definition, order
from tenter.records import MetricRow
from tenter.statistics.distribution import quantiles
from tenter.statistics.grouping import frame, grouped, pooled
from tenter.statistics.samples import pair_count, patient_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def vanished(row: MetricRow) -> bool:
    """Whether the label was present before registration and nothing of it was left after."""
    return metric_tables.VANISHED in row.note


def change(row: MetricRow) -> float | None:
    """How much better (positive) or worse a figure became, in its unit; None if undefined."""
    better = definition(row.metric).better
    before, after = metric_tables.counted(row)
    if before is None or after is None or better == "neither":
        return None
    if before == after:
        return 0.0
    return (after - before) * (1 if better == "higher" else -1)


def worse(row: MetricRow) -> bool:
    """Whether the alignment alone was better, by this figure; a vanished label is worse."""
    gained = change(row)
    return gained is not None and gained < 0


@dataclass(frozen=True, slots=True)
class Group:
    """All figures of one metric, one role, one model and one set.

    Attributes:
        model: the model's name.
        set: `cv` (each pair by the network that never saw its patient) or `test`.
        role: `structure`, `landmark`, `points` or `field`.
        metric: the metric's name.
        rows: its rows, ordered by pair and label.
    """

    model: str
    set: str
    role: str
    metric: str
    rows: tuple[MetricRow, ...]

    @property
    def definition(self) -> Metric:
        """What the metric is called, and which way is better."""
        return definition(self.metric, self.rows[0].unit if self.rows else "")

    def only(self, keep: Callable[[MetricRow], bool]) -> Group:
        """The same group with some of its rows."""
        return Group(self.model, self.set, self.role, self.metric, tuple(filter(keep, self.rows)))

    def count(self, keep: Callable[[MetricRow], bool]) -> int:
        """Number of rows for which something holds."""
        return sum(map(keep, self.rows))

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return pair_count(self.rows)

    @property
    def patients(self) -> int:
        """Number of patients; both patients of a pair of two subjects count."""
        return patient_count(self.rows)

    def before(self) -> tuple[float, ...]:
        """Figures before registration of the rows that have one; +inf where the label was empty."""
        counted = (metric_tables.counted(row)[0] for row in self.rows)
        return tuple(value for value in counted if value is not None)

    def after(self) -> tuple[float, ...]:
        """Figures after registration; a vanished label without a figure counts as +inf."""
        counted = (metric_tables.counted(row)[1] for row in self.rows)
        return tuple(value for value in counted if value is not None)


def groups(rows: Iterable[MetricRow], models: Sequence[str]) -> tuple[Group, ...]:
    """Group rows by model, set, role and metric: models as configured, metrics as defined.

    Pairs of the test set are registered by every fold's network and by their ensemble: if there
    is an ensemble, it represents the set.
    """
    gathered = grouped(pooled(frame(tuple(rows))), ("model", "set", "role", "metric"))
    known = list(models)

    def key(group_key: tuple[str, ...]) -> tuple[object, ...]:
        model, kind, role, metric = group_key
        position = known.index(model) if model in known else len(known)
        return (kind, order(metric), role, position, model)

    def sort(members: list[MetricRow]) -> tuple[MetricRow, ...]:
        return tuple(sorted(members, key=lambda row: (row.pair, row.label)))

    return tuple(
        Group(model, kind, role, metric, sort(gathered[model, kind, role, metric]))
        for model, kind, role, metric in sorted(gathered, key=key)
    )


def find(
    candidates: Iterable[Group], model: str, kind: str, metric: str, role: str | None = None
) -> Group | None:
    """The group of a model, a set and a metric (and a role), or None."""
    for group in candidates:
        if (group.model, group.set, group.metric) == (model, kind, metric) and role in {
            None,
            group.role,
        }:
            return group
    return None


def quantile(values: Sequence[float], share: float) -> float | None:
    """Quantile where infinite values keep their rank, as in `summary.tsv`; None without values."""
    if not values:
        return None
    return float(quantiles(np.asarray(values, dtype=np.float64), (share,))[0])


def notes(rows: Iterable[MetricRow]) -> dict[str, int]:
    """Why figures are absent: each note with the number of its rows, without vanished labels."""
    return dict(Counter(row.note for row in rows if row.note and not vanished(row)).most_common())
