"""What a step learns from, drawn as plain numbers that `sampling` applies without any randomness.

A draw is a pure function of (seed, fold, step): no generator lives on between steps, so that
resuming, or dealing a batch to several workers, cannot change what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from tenter.config import Training, TrainSettings
from tenter.records import Label, Role
from tenter.sampling.augmentation.changes import Change, Ground, draw_changes
from tenter.sampling.augmentation.numbers import Source, Stream
from tenter.sampling.cohort import Case


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
        pairs: for each sample, the position of its pair in the cohort.
        partners: for each sample, the pair that its fixed side is taken from; mostly its own.
        labels: for each sample, positions of distinct labels among its pair's.
        mirrored: for each sample, whether left and right are exchanged.
        sources: of the moving and of the fixed side, for each sample, the labels whose voxels stand
            for those of `labels`: of the partner on the fixed side, and mirror twins where the
            sample is mirrored and has them.
        changes: what else happens to the moving and to the fixed side.
    """

    step: int
    pairs: tuple[int, ...]
    partners: tuple[int, ...]
    labels: tuple[tuple[int, ...], ...]
    mirrored: tuple[bool, ...]
    sources: tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
    changes: tuple[Change, Change]

    def of(self, samples: Sequence[int]) -> Draw:
        """The draw of some of the samples, in the order given, as they are in the whole batch."""
        chosen: dict[str, Any] = {
            name: tuple(getattr(self, name)[sample] for sample in samples)
            for name in ("pairs", "partners", "labels", "mirrored")
        }
        moving, fixed = (tuple(side[sample] for sample in samples) for side in self.sources)
        changes = self.changes[0].of(samples), self.changes[1].of(samples)
        return replace(self, sources=(moving, fixed), changes=changes, **chosen)


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
    partners = _partners(cohort, pairs, settings.augmentation.across, source, step)
    common = [_common(cohort, pair, partner) for pair, partner in zip(pairs, partners, strict=True)]
    widest = max(len(cohort.labels[pair]) for pair in pairs)
    chances = source.uniform((training.batch, widest), Stream.LABELS, step)
    labels = _labels(cohort, pairs, common, training, chances)
    mirrored = (False,) * training.batch
    if settings.augmentation.mirror:
        mirrored = tuple(bool(u < 0.5) for u in source.uniform((training.batch,), Stream.MIRROR, step))
    names = [
        [cohort.labels[pair][one].name for one in some] for pair, some in zip(pairs, labels, strict=True)
    ]
    moving, fixed = (
        tuple(
            _sources(cohort.labels[pair], wanted, settings.twins if flipped else ())
            for pair, wanted, flipped in zip(side, names, mirrored, strict=True)
        )
        for side in (pairs, partners)
    )
    ground = Ground(training.batch, cohort.channels, cohort.shape, cohort.spacing_mm)
    changes = draw_changes(source, settings.augmentation, ground, step)
    return Draw(step, pairs, partners, labels, mirrored, (moving, fixed), changes)


def _pairs(count: int, batch: int, source: Source, step: int) -> tuple[int, ...]:
    number, place = divmod(step, max(count // batch, 1))
    shuffles = max(-(-batch // count), 1)
    chances = source.uniform((shuffles, count), Stream.ORDER, number)
    order = np.argsort(chances, axis=1, kind="stable").ravel()
    return tuple(int(index) for index in order[place * batch : (place + 1) * batch])


def _partners(
    cohort: Outline, pairs: Sequence[int], share: float, source: Source, step: int
) -> tuple[int, ...]:
    """For each sample its own pair or, with a given chance, another that has a structure in common."""
    if not share:
        return tuple(pairs)
    chances = source.uniform((len(pairs), 2), Stream.PARTNERS, step)
    others = (int(u * len(cohort.labels)) for u in chances[:, 1])
    return tuple(
        other if u < share and _common(cohort, pair, other) else pair
        for pair, other, u in zip(pairs, others, chances[:, 0], strict=True)
    )


def _common(cohort: Outline, pair: int, partner: int) -> list[int]:
    """Positions of a pair's labels that its fixed side has too: of another pair's the structures alone."""
    if pair == partner:
        return list(range(len(cohort.labels[pair])))
    theirs = {label.name for label in cohort.labels[partner] if label.role == "structure"}
    own = enumerate(cohort.labels[pair])
    return [position for position, label in own if label.role == "structure" and label.name in theirs]


def _labels(
    cohort: Outline,
    pairs: Sequence[int],
    common: Sequence[Sequence[int]],
    training: Training,
    chances: Float[np.ndarray, "b n"],
) -> tuple[tuple[int, ...], ...]:
    """For each sample distinct ones of the labels that both of its sides have."""
    found = []
    for pair, positions, row in zip(pairs, common, chances, strict=True):
        roles = [cohort.labels[pair][position].role for position in positions]
        order = _order(roles, training, row[list(positions)])
        found.append(tuple(positions[index] for index in order))
    return tuple(found)


def _order(roles: Sequence[Role], training: Training, chances: Float[np.ndarray, "n"]) -> tuple[int, ...]:
    """Distinct labels with given weights: the smallest -log(u)/w (Efraimidis and Spirakis, 2006)."""
    balanced = training.label_sampling == "balanced"
    weights = np.array([1 / roles.count(role) if balanced else 1.0 for role in roles])
    order = np.argsort(-np.log(chances) / weights, kind="stable")
    wanted = len(roles) if training.labels_per_pair == "all" else training.labels_per_pair
    return tuple(int(index) for index in order[:wanted])


def _sources(
    labels: Sequence[Label], names: Sequence[str], twins: Sequence[tuple[str, str]]
) -> tuple[int, ...]:
    """Positions of named labels, or of those that turn into them when left and right are exchanged."""
    positions = {label.name: position for position, label in enumerate(labels)}
    other = dict(twins) | {right: left for left, right in twins}
    return tuple(positions.get(other.get(name, name), positions[name]) for name in names)
