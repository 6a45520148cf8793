"""The random numbers of a training step, drawn in advance; `batches` applies them.

A draw is a pure function of (seed, fold, step): no generator is kept between steps, so that
resuming, or splitting a batch over several workers, cannot change what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from tenter.config import Training, TrainSettings
from tenter.records import Label, Role
from tenter.sampling.augmentation.random_streams import Source, Stream
from tenter.sampling.augmentation.recipe import Change, Ground, draw_changes
from tenter.sampling.cohort import Case


@dataclass(frozen=True, slots=True)
class Outline:
    """The properties of a cohort that drawing depends on.

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
    """The random numbers of one step's global batch of b pairs.

    Attributes:
        step: index of the step, from 0.
        pairs: for each sample, the index of its pair in the cohort.
        partners: for each sample, the pair that its fixed side comes from; usually the same pair.
        labels: for each sample, indices of distinct labels of its pair.
        mirrored: for each sample, whether left and right are exchanged.
        sources: for the moving and the fixed side and each sample, indices of the labels whose
            voxels are used for `labels`: the partner's on the fixed side, and mirror twins if the
            sample is mirrored and has them.
        changes: further augmentation of the moving and the fixed side.
    """

    step: int
    pairs: tuple[int, ...]
    partners: tuple[int, ...]
    labels: tuple[tuple[int, ...], ...]
    mirrored: tuple[bool, ...]
    sources: tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
    changes: tuple[Change, Change]

    def of(self, samples: Sequence[int]) -> Draw:
        """The draw restricted to some samples of the batch, in the given order."""
        chosen: dict[str, Any] = {
            name: tuple(getattr(self, name)[sample] for sample in samples)
            for name in ("pairs", "partners", "labels", "mirrored")
        }
        moving, fixed = (tuple(side[sample] for sample in samples) for side in self.sources)
        changes = self.changes[0].of(samples), self.changes[1].of(samples)
        return replace(self, sources=(moving, fixed), changes=changes, **chosen)


def draw(cohort: Outline, settings: TrainSettings, *, fold: str, step: int) -> Draw:
    """Draw the global batch of one step.

    Two stages, as in label-reg (Hu et al., 2018): distinct pairs in shuffled passes over the
    cohort, then labels of each pair. A pass drops an incomplete last batch; a cohort smaller than
    a batch is repeated, with a new shuffle each time.

    Args:
        cohort: outline of the cases, in their order.
        settings: seed, batch, labels per pair, label sampling, augmentation.
        fold: of the training.
        step: from 0.

    Returns:
        The numbers of the step; equal for equal arguments, on any machine.
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
        mirrored = tuple(
            bool(u < 0.5) for u in source.uniform((training.batch,), Stream.MIRROR, step)
        )
    names = [
        [cohort.labels[pair][position].name for position in chosen]
        for pair, chosen in zip(pairs, labels, strict=True)
    ]
    moving, fixed = (
        tuple(
            _sources(cohort.labels[pair], chosen_names, settings.twins if flipped else ())
            for pair, chosen_names, flipped in zip(side, names, mirrored, strict=True)
        )
        for side in (pairs, partners)
    )
    ground = Ground(training.batch, cohort.channels, cohort.shape, cohort.spacing_mm)
    changes = draw_changes(source, settings.augmentation, ground, step)
    return Draw(step, pairs, partners, labels, mirrored, (moving, fixed), changes)


def _pairs(count: int, batch: int, source: Source, step: int) -> tuple[int, ...]:
    shuffle, batch_index = divmod(step, max(count // batch, 1))
    shuffles = max(-(-batch // count), 1)
    chances = source.uniform((shuffles, count), Stream.ORDER, shuffle)
    order = np.argsort(chances, axis=1, kind="stable").ravel()
    return tuple(int(index) for index in order[batch_index * batch : (batch_index + 1) * batch])


def _partners(
    cohort: Outline, pairs: Sequence[int], share: float, source: Source, step: int
) -> tuple[int, ...]:
    """For each sample its own pair or, with probability `share`, one with a common structure."""
    if not share:
        return tuple(pairs)
    chances = source.uniform((len(pairs), 2), Stream.PARTNERS, step)
    candidates = (int(u * len(cohort.labels)) for u in chances[:, 1])
    return tuple(
        candidate if u < share and _common(cohort, pair, candidate) else pair
        for pair, candidate, u in zip(pairs, candidates, chances[:, 0], strict=True)
    )


def _common(cohort: Outline, pair: int, partner: int) -> list[int]:
    """Indices of a pair's labels that its partner has too; of another pair only structures."""
    if pair == partner:
        return list(range(len(cohort.labels[pair])))
    partner_names = {label.name for label in cohort.labels[partner] if label.role == "structure"}
    numbered = enumerate(cohort.labels[pair])
    return [
        position
        for position, label in numbered
        if label.role == "structure" and label.name in partner_names
    ]


def _labels(
    cohort: Outline,
    pairs: Sequence[int],
    common: Sequence[Sequence[int]],
    training: Training,
    chances: Float[np.ndarray, "b n"],
) -> tuple[tuple[int, ...], ...]:
    """For each sample, distinct labels among those that both of its sides have."""
    drawn = []
    for pair, positions, row in zip(pairs, common, chances, strict=True):
        roles = [cohort.labels[pair][position].role for position in positions]
        order = _order(roles, training, row[list(positions)])
        drawn.append(tuple(positions[index] for index in order))
    return tuple(drawn)


def _order(
    roles: Sequence[Role], training: Training, chances: Float[np.ndarray, "n"]
) -> tuple[int, ...]:
    """Weighted sampling without replacement: smallest -log(u)/w (Efraimidis, Spirakis 2006)."""
    balanced = training.label_sampling == "balanced"
    weights = np.array([1 / roles.count(role) if balanced else 1.0 for role in roles])
    order = np.argsort(-np.log(chances) / weights, kind="stable")
    count = len(roles) if training.labels_per_pair == "all" else training.labels_per_pair
    return tuple(int(index) for index in order[:count])


def _sources(
    labels: Sequence[Label], names: Sequence[str], twins: Sequence[tuple[str, str]]
) -> tuple[int, ...]:
    """Indices of named labels, or of those that become them when left and right are exchanged."""
    positions = {label.name: position for position, label in enumerate(labels)}
    twin_of = dict(twins) | {right: left for left, right in twins}
    return tuple(positions.get(twin_of.get(name, name), positions[name]) for name in names)
