"""From prepared cases to batches: draw plain numbers first, then apply them without any randomness.

A draw is a pure function of (seed, fold, step): no generator lives on between steps, so that
resuming, or dealing a batch to several workers, cannot change what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tenter.config import Training, TrainSettings
from tenter.data.augmentation import looks, places
from tenter.data.augmentation.changes import Change, Ground, draw_changes
from tenter.data.augmentation.numbers import Source, Stream
from tenter.data.cohort import SIDES, Case, Side
from tenter.records import Label, Role
from tenter.shapes import Field, Image, Labels
from tenter.spatial import grids, warp


@dataclass(frozen=True, slots=True)
class Outline:
    """All that drawing needs to know of a cohort.

    Attributes:
        labels: of each pair.
        channels: of the moving and of the fixed image.
        shape: voxels of the grid; the first axis runs left to right.
        spacing_mm: voxel size of the grid.
    """

    labels: tuple[tuple[Label, ...], ...]
    channels: tuple[int, int]
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]


def outline(cohort: Sequence[Case], spacing_mm: Sequence[float]) -> Outline:
    """The outline of cases that share one grid."""
    moving, fixed = cohort[0].images
    return Outline(
        tuple(case.labels for case in cohort),
        (moving.shape[0], fixed.shape[0]),
        tuple(fixed.shape[1:]),
        tuple(spacing_mm),
    )


@dataclass(frozen=True, slots=True)
class Draw:
    """The plain numbers of one step's global batch of b pairs.

    Attributes:
        step: the step that it is for, from 0.
        pairs: position of each pair in the cohort.
        labels: for each pair, positions of distinct labels among its own.
        mirrored: for each pair, whether left and right are exchanged.
        sources: for each pair, the labels whose voxels stand for those of `labels`: their mirror
            twins where the pair is mirrored and has them.
        changes: what else happens to the moving and to the fixed side.
    """

    step: int
    pairs: tuple[int, ...]
    labels: tuple[tuple[int, ...], ...]
    mirrored: tuple[bool, ...]
    sources: tuple[tuple[int, ...], ...]
    changes: tuple[Change, Change]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from.

    Attributes:
        moving: `[b, c, x, y, z]`.
        fixed: `[b, c, x, y, z]`.
        moving_labels: `[b, l, x, y, z]` in [0, 1]; of zeros where a pair has fewer than l labels.
        fixed_labels: likewise.
        present: `[b, l]`, which of them are labels.
        structures: `[b, l]`, which of these have the role of a structure.
    """

    moving: Image
    fixed: Image
    moving_labels: Labels
    fixed_labels: Labels
    present: Bool[Tensor, "b l"]
    structures: Bool[Tensor, "b l"]

    def parts(self, count: int) -> list[Batch]:
        """The batch in equal parts, in order.

        Args:
            count: a divisor of the number of pairs.
        """
        if count == 1:
            return [self]
        chunks = (getattr(self, field.name).chunk(count) for field in fields(self))
        return [Batch(*part) for part in zip(*chunks, strict=True)]


def draw(cohort: Outline, settings: TrainSettings, *, fold: str, step: int) -> Draw:
    """Draw the global batch of one step.

    Two stages, as label-reg does (Hu et al., 2018): distinct pairs in shuffled passes over the
    cohort, then labels of each pair. A pass drops the remainder that fills no batch; a cohort
    smaller than a batch is repeated, shuffled anew each time.

    Args:
        cohort: outline of the cases, in their order.
        settings: seed, batch, labels a pair and how they are drawn, augmentation.
        fold: of the training.
        step: from 0.

    Returns:
        the numbers of the step; equal for equal arguments, on any machine.
    """
    training, source = settings.training, Source.of(settings.seed, fold)
    pairs = _pairs(len(cohort.labels), training.batch, source, step)
    widest = max(len(cohort.labels[pair]) for pair in pairs)
    chances = source.uniform((training.batch, widest), Stream.LABELS, step)
    labels = tuple(
        _labels([label.role for label in cohort.labels[pair]], training, row[: len(cohort.labels[pair])])
        for pair, row in zip(pairs, chances, strict=True)
    )
    mirrored = (False,) * training.batch
    if settings.augmentation.mirror:
        mirrored = tuple(bool(u < 0.5) for u in source.uniform((training.batch,), Stream.MIRROR, step))
    sources = tuple(
        _twins(cohort.labels[pair], chosen, settings.twins) if flipped else chosen
        for pair, chosen, flipped in zip(pairs, labels, mirrored, strict=True)
    )
    ground = Ground(training.batch, cohort.channels, cohort.shape, cohort.spacing_mm)
    changes = draw_changes(source, settings.augmentation, ground, step)
    return Draw(step, pairs, labels, mirrored, sources, changes)


def _pairs(count: int, batch: int, source: Source, step: int) -> tuple[int, ...]:
    number, place = divmod(step, max(count // batch, 1))
    shuffles = max(-(-batch // count), 1)
    chances = source.uniform((shuffles, count), Stream.ORDER, number)
    order = np.argsort(chances, axis=1, kind="stable").ravel()
    return tuple(int(index) for index in order[place * batch : (place + 1) * batch])


def _labels(roles: Sequence[Role], training: Training, chances: Float[np.ndarray, "n"]) -> tuple[int, ...]:
    """Distinct labels with given weights: the smallest -log(u)/w (Efraimidis and Spirakis, 2006)."""
    balanced = training.label_sampling == "balanced"
    weights = np.array([1 / roles.count(role) if balanced else 1.0 for role in roles])
    order = np.argsort(-np.log(chances) / weights, kind="stable")
    wanted = len(roles) if training.labels_per_pair == "all" else training.labels_per_pair
    return tuple(int(index) for index in order[:wanted])


def _twins(
    labels: Sequence[Label], chosen: Sequence[int], twins: Sequence[tuple[str, str]]
) -> tuple[int, ...]:
    """Positions of the labels that turn into the chosen ones when left and right are exchanged."""
    positions = {label.name: position for position, label in enumerate(labels)}
    other = dict(twins) | {right: left for left, right in twins}
    names = (labels[position].name for position in chosen)
    return tuple(positions.get(other.get(name, name), positions[name]) for name in names)


def apply(drawn: Draw, cohort: Sequence[Case], device: torch.device) -> Batch:
    """Assemble and augment the batch that a draw describes; deterministic.

    Args:
        drawn: from `draw`, with the outline of this cohort.
        cohort: all cases of one grid, in the order that was drawn from.
        device: where the batch is wanted.

    Returns:
        the batch in float32; image and labels of a side lie under the same map, the two sides
        under independent ones, but mirrored together.
    """
    sides = []
    for side, change in zip(SIDES, drawn.changes, strict=True):
        image, labels = _assembled(drawn, [cohort[pair] for pair in drawn.pairs], side, device)
        field = places.displacement(change, image.shape[2:], device)
        if field is not None:
            image, labels = warp_together(image, labels, field)
        sides.append((looks.changed(image, change), labels))
    (moving, moving_labels), (fixed, fixed_labels) = sides
    return Batch(moving, fixed, moving_labels, fixed_labels, *_kinds(drawn, cohort, device))


def _kinds(
    drawn: Draw, cohort: Sequence[Case], device: torch.device
) -> tuple[Bool[Tensor, "b l"], Bool[Tensor, "b l"]]:
    """Which labels are there, and which of them are structures."""
    shape = len(drawn.labels), max(len(labels) for labels in drawn.labels)
    present, structures = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for index, (pair, labels) in enumerate(zip(drawn.pairs, drawn.labels, strict=True)):
        present[index, : len(labels)] = True
        structures[index, : len(labels)] = [
            cohort[pair].labels[position].role == "structure" for position in labels
        ]
    return (
        torch.from_numpy(present).to(device, non_blocking=True),
        torch.from_numpy(structures).to(device, non_blocking=True),
    )


def _assembled(drawn: Draw, cases: Sequence[Case], side: Side, device: torch.device) -> tuple[Image, Labels]:
    shape = cases[0].image(side).shape
    width = max(len(labels) for labels in drawn.labels)
    image = torch.empty(len(cases), *shape, device=device)
    labels = torch.zeros(len(cases), width, *shape[1:], device=device)
    for index, (case, chosen) in enumerate(zip(cases, drawn.sources, strict=True)):
        image[index].copy_(case.image(side), non_blocking=True)
        case.paste(side, chosen, labels[index])
        if drawn.mirrored[index]:
            for volume in (image[index], labels[index]):
                volume.copy_(volume.flip(1))
    return image, labels


def warp_together(image: Image, labels: Labels, field: Field) -> tuple[Image, Labels]:
    """Warp a side's image (border repeated) and labels (zero outside) in one pass.

    A margin of one voxel, the repeated edge for the image and zeros for the labels, makes one
    sampling with border padding equal to two samplings with the two paddings.

    Args:
        image: `[b, c, *space]`.
        labels: `[b, l, *space]`.
        field: `[b, d, *space]`, voxels.

    Returns:
        image and labels, warped.
    """
    margin = (1, 1) * (image.ndim - 2)
    both = torch.cat([functional.pad(image, margin, mode="replicate"), functional.pad(labels, margin)], dim=1)
    start = grids.identity(field.shape[2:], dtype=field.dtype, device=field.device) + 1
    warped = warp.sample(both, start + field, padding="border")
    return warped[:, : image.shape[1]], warped[:, image.shape[1] :]
