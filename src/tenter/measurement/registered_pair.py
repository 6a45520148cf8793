"""A registered pair with its references, and one measurement of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tenter.config import LabelFiles
from tenter.measurement.truth import Truth
from tenter.metrics.custom import CustomMetric
from tenter.metrics.indices import IndexField, index_field
from tenter.metrics.regions import Grid
from tenter.records import Pair
from tenter.spatial.transform import Transform


@dataclass(frozen=True, slots=True)
class Measurement:
    """One metric of one pair, or of one of its labels or points.

    Attributes:
        metric: its name.
        figures: the values before and after registration; None where there is none.
        role: as in `records.MetricRow`, like the other fields.
        label: name of the label or point.
        note: why a value is missing.
    """

    metric: str
    figures: tuple[float | None, float | None]
    role: str
    label: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredPair:
    """A registered pair.

    Attributes:
        pair: its row of the manifest.
        truth: its labels and points.
        transform: the complete transform, alignment and field.
        labels: how label files are read.
        threshold: value from which a soft label counts as set.
        metrics: metrics of the study's own code.
    """

    pair: Pair
    truth: Truth
    transform: Transform
    labels: LabelFiles
    threshold: float
    metrics: tuple[CustomMetric, ...] = ()

    def fields(self, fixed: Grid, moving: np.ndarray) -> tuple[IndexField, IndexField]:
        """Displacement in voxels between two grids by the alignment alone and by the transform."""
        plain = self.transform.without_field()
        return index_field(plain, fixed, moving), index_field(self.transform, fixed, moving)
