"""Challenge metrics of a registered pair; the challenges' programs work on voxel arrays only."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.formats.volumes import LabelVolume
from tenter.measurement import metric_tables
from tenter.measurement.metric_tables import ABSENT
from tenter.measurement.registered_pair import Measurement, RegisteredPair
from tenter.measurement.truth import LabelTruth, Position
from tenter.metrics import learn2reg, muregpro
from tenter.metrics.definitions import LEARN2REG, MUREGPRO
from tenter.metrics.indices import IndexField, nearest
from tenter.metrics.regions import Region, region, same_grid
from tenter.metrics.warped import NOWHERE
from tenter.records import Fault
from tenter.spatial import geometry, slices

_OF_LABELS = ("learn2reg_dice", "learn2reg_hd95")


def measurements(of: RegisteredPair, family: str) -> Iterator[Measurement]:
    """Metrics of one family.

    Args:
        of: the pair.
        family: `learn2reg` or `muregpro`; any other yields nothing.

    Raises:
        DataError: the images are slices, for which the challenges define no metrics.
    """
    if family in {LEARN2REG, MUREGPRO} and slices.normal(of.truth.image.shape) is not None:
        message = f"{family} measures volumes, and the images are slices"
        raise DataError(Fault("evaluation.families", message, "leave it out"))
    if family == LEARN2REG:
        yield from _learn2reg(of)
    fixed = of.pair.fixed_labels
    if family == MUREGPRO and of.truth.labels is not None and fixed is not None:
        image = of.truth.image
        labels = volumes.reordered(volumes.read_labels(fixed, of.labels), image.shape, image.affine)
        yield from _muregpro(of, of.truth.labels, labels)


def _learn2reg(of: RegisteredPair) -> Iterator[Measurement]:
    image, moving = of.truth.image, volumes.header(of.pair.moving).affine
    fields = of.fields(image, moving)
    before, after = (learn2reg.field_figures(field) for field in fields)
    for metric in before:
        yield Measurement(metric, (before[metric], after[metric]), "field")
    yield from _learn2reg_points(of, fields, moving)
    labels = of.truth.labels
    if labels is not None:
        if not (same_grid(labels.grid, image) and np.array_equal(labels.moving.affine, moving)):
            fields = of.fields(labels.grid, labels.moving.affine)
        yield from _learn2reg_labels(of, labels, fields)


def _learn2reg_points(
    of: RegisteredPair, fields: tuple[IndexField, IndexField], moving: np.ndarray
) -> Iterator[Measurement]:
    ends = of.truth.fixed_points, of.truth.moving_points
    names = sorted(ends[0].keys() & ends[1].keys())
    if not names:
        return
    starts, targets = (
        _voxels(side, names, affine)
        for side, affine in zip(ends, (of.truth.image.affine, moving), strict=True)
    )
    spacing = geometry.spacing_mm(moving)
    before, after = (learn2reg.point_errors_mm(starts, targets, field, spacing) for field in fields)
    for name, *figures in zip(names, before, after, strict=True):
        yield Measurement(
            "learn2reg_tre",
            (float(figures[0]), float(figures[1])),
            "points",
            metric_tables.plain(name),
        )


def _voxels(points: Mapping[str, Position], names: list[str], affine: np.ndarray) -> np.ndarray:
    positions = np.array([points[name] for name in names], dtype=np.float64)
    return geometry.apply(np.linalg.inv(affine), positions)


def _learn2reg_labels(
    of: RegisteredPair, labels: LabelTruth, fields: tuple[IndexField, IndexField]
) -> Iterator[Measurement]:
    """Label metrics; labels that one side lacks get a note and no values."""
    for side, lacking in (
        ("fixed", labels.pieces.keys() - labels.fixed.keys()),
        ("moving", labels.fixed.keys() - labels.pieces.keys()),
    ):
        for label, metric in itertools.product(map(of.labels.label, sorted(lacking)), _OF_LABELS):
            note = ABSENT.format(side)
            yield Measurement(metric, (None, None), label.role, label.name, note)
    both = sorted(labels.pieces.keys() & labels.fixed.keys())
    states = [_nearest(labels.moving, field, both, of.threshold) for field in fields]
    for key in both:
        label = of.labels.label(key)
        note = metric_tables.note(empty_before=states[0][key].empty, vanished=states[1][key].empty)
        before, after = (learn2reg.label_figures(state[key], labels.fixed[key]) for state in states)
        for metric in before:
            figures = _finite(before[metric]), _finite(after[metric])
            yield Measurement(metric, figures, label.role, label.name, note)


def _nearest(
    moving: LabelVolume, field: IndexField, keys: list[int], threshold: float
) -> dict[int, Region]:
    """Warp labels by nearest neighbour: those of a map together, those of a stack one at a time."""
    if moving.values.ndim == 3:
        carried = nearest(moving.values, field)
        masks = ((key, carried == key) for key in keys)
    else:
        masks = ((key, nearest(moving.mask(key) >= threshold, field)) for key in keys)
    return {key: region(mask) or NOWHERE for key, mask in masks}


def _finite(value: float) -> float | None:
    """The value, or None if it could not be measured; the row's note says why."""
    return value if np.isfinite(value) else None


def _muregpro(of: RegisteredPair, labels: LabelTruth, fixed: LabelVolume) -> Iterator[Measurement]:
    """Metrics of every label of either file; empty labels count as in the challenge's code."""
    moving = labels.moving
    fields = of.fields(labels.grid, moving.affine)
    keys = sorted({*moving.keys, *fixed.keys})
    for key in keys:
        label = of.labels.label(key)
        moving_label, fixed_label = (
            muregpro.stretched(side.mask(key).astype(np.float64)) for side in (moving, fixed)
        )
        carried = [muregpro.warped(moving_label, field) for field in fields]
        note = _empty_sides(labels, key) or metric_tables.note(
            empty_before=not (carried[0] > 0.5).any(), vanished=not (carried[1] > 0.5).any()
        )
        before, after = (muregpro.figures(fixed_label, state) for state in carried)
        for metric in before:
            if metric != "muregpro_dice" or key == first_key(of.labels):
                yield Measurement(
                    metric, (before[metric], after[metric]), label.role, label.name, note
                )
        for metric, value in muregpro.unregistered(fixed_label, moving_label).items():
            yield Measurement(metric, (value, None), label.role, label.name)


def first_key(labels: LabelFiles) -> int:
    """The label whose Dice µ-RegPro measures: a stack's first channel, a map's lowest named key."""
    if labels.format == "stack":
        return 0
    return min((named.key for named in labels.names), default=1)


def _empty_sides(labels: LabelTruth, key: int) -> str:
    sides = {"moving": labels.pieces, "fixed": labels.fixed}
    return " and ".join(ABSENT.format(side) for side, known in sides.items() if key not in known)
