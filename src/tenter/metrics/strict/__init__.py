"""The strict family of metrics: every distance is Euclidean and in mm, no error is averaged away.

It is always measured. Each metric has a module here of its name, with a function `measure`, and a
definition in `metrics.definitions` that says of what it is: `measure` takes a
`measurands.WarpedLabel` (label), `measurands.MappedPoints` (points; one value each), a
`survey.Survey` (field) or `measurands.MeasuredLabels` (pair).
"""

from __future__ import annotations

import importlib
from typing import Any

from tenter.metrics.definitions import STRICT, Metric, Of, of_family


def metrics(of: Of, role: str, *, surfaces: bool = True) -> tuple[Metric, ...]:
    """The metrics of one kind of measurand, in the order of their definitions.

    Args:
        of: the kind.
        role: role of the measurand.
        surfaces: whether to include metrics of surfaces.
    """
    return tuple(
        metric
        for metric in of_family(STRICT)
        if metric.of == of and role in metric.roles and (surfaces or not metric.surface)
    )


def values(of: Of, role: str, measurand: object, *, surfaces: bool = True) -> dict[str, Any]:
    """The value of each of these metrics.

    Args:
        of: kind of the measurand.
        role: its role.
        measurand: what is measured.
        surfaces: whether to measure surfaces.

    Returns:
        Value by metric, for points one a point; None where a label vanished and has no value.
    """
    return {
        metric.name: importlib.import_module(f"{__name__}.{metric.name}").measure(measurand)
        for metric in metrics(of, role, surfaces=surfaces)
    }
