"""The strict metrics of a registered pair, before (alignment alone) and after registration.

Which metrics there are, and how each is computed, is known to `metrics.definitions` and
`metrics.strict`; here their measurands are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from tenter.measurement import metric_tables
from tenter.measurement.metric_tables import ABSENT
from tenter.measurement.registered_pair import Measurement, RegisteredPair
from tenter.measurement.truth import LabelTruth
from tenter.metrics import strict
from tenter.metrics.custom import CustomMetric
from tenter.metrics.definitions import LABELS
from tenter.metrics.measurands import MappedPoints, MeasuredLabels, WarpedLabel
from tenter.metrics.regions import Box, Grid, Region, same_grid
from tenter.metrics.survey import Survey, by_alignment, survey
from tenter.metrics.warped import Warper
from tenter.spatial import slices
from tenter.spatial.transform import Transform

Values = Mapping[str, float | None]
"""Value by metric."""


def measurements(of: RegisteredPair, *, surfaces: bool) -> Iterator[Measurement]:
    """Every strict metric of a pair.

    Args:
        of: the pair.
        surfaces: whether to measure surface distances of structures.
    """
    labels, image = of.truth.labels, of.truth.image
    moving = labels.moving.affine if labels else image.affine
    boxes = [piece.own for piece in labels.pieces.values()] if labels else []
    surveyed = survey(of.transform, image, moving, boxes)
    yield from _field(of, surveyed)
    yield from _points(of)
    if labels is not None:
        if not same_grid(labels.grid, image):
            surveyed = survey(of.transform, labels.grid, moving, boxes)
        warped = _warped(of, labels, surveyed.landings)
        yield from _labels(of, labels, warped, surfaces=surfaces)


def _field(of: RegisteredPair, surveyed: Survey) -> Iterator[Measurement]:
    """Metrics of the field; before registration, the Jacobian of the alignment is constant."""
    before = strict.values("field", "field", by_alignment(of.transform))
    after = strict.values("field", "field", surveyed)
    for name in before:
        yield Measurement(name, (before[name], after[name]), "field")
    for metric in of.metrics:
        if metric.measures("field"):
            sides = (of.transform.without_field(), of.transform)
            figures = tuple(_of_field(metric, side, of.truth.image) for side in sides)
            yield Measurement(metric.settings.column, (figures[0], figures[1]), "field")


def _of_field(metric: CustomMetric, transform: Transform, grid: Grid) -> float:
    displacement_mm = transform.displacement_mm(grid.affine, grid.shape)
    return metric.of_field(displacement_mm.to(torch.float64).cpu().numpy(), grid.affine)


def _points(of: RegisteredPair) -> Iterator[Measurement]:
    fixed, moving = of.truth.fixed_points, of.truth.moving_points
    absent = strict.metrics("points", "points")[0].name
    for side, missing in (
        ("fixed", moving.keys() - fixed.keys()),
        ("moving", fixed.keys() - moving.keys()),
    ):
        for name in sorted(missing):
            label, note = metric_tables.plain(name), ABSENT.format(side)
            yield Measurement(absent, (None, None), "points", label, note)
    names = sorted(fixed.keys() & moving.keys())
    if not names:
        return
    starts, ends = (
        np.array([side[name] for name in names], dtype=np.float64) for side in (fixed, moving)
    )
    maps = of.transform.without_field(), of.transform
    before, after = (
        strict.values("points", "points", MappedPoints(transform.map_points(starts), ends))
        for transform in maps
    )
    for metric in before:
        for name, *figures in zip(names, before[metric], after[metric], strict=True):
            values = (float(figures[0]), float(figures[1]))
            yield Measurement(metric, values, "points", metric_tables.plain(name))


def _warped(
    of: RegisteredPair, labels: LabelTruth, landings: Sequence[Box | None]
) -> dict[int, tuple[Region, Region]]:
    """Warp the moving labels to the fixed grid: by the alignment alone, and by the whole map."""
    precise = replace(of.transform, field=of.transform.field.to(torch.float64))
    warper = Warper(precise, labels.grid, labels.moving.affine, of.threshold)
    pieces = tuple(labels.pieces.values())
    states = warper.by_alignment(pieces), warper.by_transform(pieces, landings)
    return dict(zip(labels.pieces, zip(*states, strict=True), strict=True))


def _labels(
    of: RegisteredPair,
    labels: LabelTruth,
    warped: Mapping[int, tuple[Region, Region]],
    *,
    surfaces: bool,
) -> Iterator[Measurement]:
    """Metrics of every label, and of all labels of a role together."""
    yield from _absent(of, warped.keys() - labels.fixed.keys(), "fixed")
    yield from _absent(of, labels.fixed.keys() - warped.keys(), "moving")
    by_role: dict[str, list[tuple[Values, Values]]] = {role: [] for role in LABELS}
    normal = slices.normal(labels.grid.shape)
    for key in sorted(warped.keys() & labels.fixed.keys()):
        label = of.labels.label(key)
        before, after = (
            _of_label(
                of,
                label.role,
                WarpedLabel.of(state, labels.fixed[key], labels.grid.affine, normal),
                surfaces=surfaces,
            )
            for state in warped[key]
        )
        note = metric_tables.note(empty_before=warped[key][0].empty, vanished=warped[key][1].empty)
        for name in before:
            figures = before[name], after[name]
            yield Measurement(name, figures, label.role, label.name, note)
        by_role[label.role].append((before, after))
    for role, values in by_role.items():
        yield from _pair(role, values)


def _of_label(
    of: RegisteredPair, role: str, label: WarpedLabel, *, surfaces: bool
) -> dict[str, float | None]:
    """The metrics of one label, custom ones last."""
    values: dict[str, float | None] = strict.values("label", role, label, surfaces=surfaces)
    chosen = (metric for metric in of.metrics if metric.measures(role))
    return values | {metric.settings.column: metric.of_label(label) for metric in chosen}


def _absent(of: RegisteredPair, keys: Iterable[int], side: str) -> Iterator[Measurement]:
    """One measurement without values for each label that is missing on `side`."""
    for label in (of.labels.label(key) for key in sorted(keys)):
        metric = strict.metrics("label", label.role)[0].name
        yield Measurement(metric, (None, None), label.role, label.name, ABSENT.format(side))


def _pair(role: str, values: Sequence[tuple[Values, Values]]) -> Iterator[Measurement]:
    """Metrics over all labels of a role; absent (worst) if one that they need vanished."""
    if not values:
        return
    before, after = (
        strict.values("pair", role, MeasuredLabels(side)) for side in zip(*values, strict=True)
    )
    for name in before:
        figures = before[name], after[name]
        note = metric_tables.note(empty_before=figures[0] is None, vanished=figures[1] is None)
        yield Measurement(name, figures, role, note=note)
