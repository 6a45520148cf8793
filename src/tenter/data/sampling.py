"""From prepared cases to batches: draw plain numbers first, then apply them without any randomness.

A draw is a pure function of (seed, fold, step): no generator lives on between steps, so that
resuming, or dealing a batch to several workers, cannot change what is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tenter.config import Training
from tenter.data.cohort import SIDES, Case
from tenter.records import Role
from tenter.shapes import Field, Image, Labels
from tenter.spatial import affine, grids, warp

_ORDER, _LABELS, _CORNERS = range(3)


@dataclass(frozen=True, slots=True)
class Draw:
    """The plain numbers of one step's global batch of b pairs.

    Attributes:
        step: the step that it is for, from 0.
        pairs: position of each pair in the cohort.
        labels: for each pair, positions of distinct labels among its own.
        corners: `[2, b, 4, 3]` inward moves of the cube's corners in half-widths, of the
            moving side and of the fixed side.
    """

    step: int
    pairs: tuple[int, ...]
    labels: tuple[tuple[int, ...], ...]
    corners: Float[np.ndarray, "sides b 4 3"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from.

    Attributes:
        moving: `[b, c, x, y, z]`.
        fixed: `[b, c, x, y, z]`.
        moving_labels: `[b, l, x, y, z]` in [0, 1]; of zeros where a pair has fewer than l labels.
        fixed_labels: likewise.
        present: `[b, l]`, which of them are labels.
    """

    moving: Image
    fixed: Image
    moving_labels: Labels
    fixed_labels: Labels
    present: Bool[Tensor, "b l"]


def draw(
    roles: Sequence[Sequence[Role]], training: Training, corner: float, *, seed: int, fold: str, step: int
) -> Draw:
    """Draw the global batch of one step.

    Two stages, as label-reg does (Hu et al., 2018): distinct pairs in shuffled passes over the
    cohort, then labels of each pair. A pass drops the remainder that fills no batch; a cohort
    smaller than a batch is repeated, shuffled anew each time.

    Args:
        roles: of each pair's labels; the cohort's order.
        training: batch, labels a pair, and how labels are drawn.
        corner: largest inward move of a corner, in half-widths.
        seed: of the training.
        fold: of the training.
        step: from 0.

    Returns:
        the numbers of the step; equal for equal arguments, on any machine.
    """
    key = (seed, int.from_bytes(hashlib.sha256(fold.encode()).digest()[:8]))
    pairs = _pairs(len(roles), training.batch, key, step)
    widest = max(len(roles[pair]) for pair in pairs)
    chances = _uniform((training.batch, widest), *key, _LABELS, step)
    labels = tuple(
        _labels(roles[pair], training, row[: len(roles[pair])])
        for pair, row in zip(pairs, chances, strict=True)
    )
    corners = corner * _uniform((2, training.batch, 4, 3), *key, _CORNERS, step)
    return Draw(step, pairs, labels, corners)


def _pairs(count: int, batch: int, key: tuple[int, int], step: int) -> tuple[int, ...]:
    number, place = divmod(step, max(count // batch, 1))
    shuffles = max(-(-batch // count), 1)
    chances = _uniform((shuffles, count), *key, _ORDER, number)
    order = np.argsort(chances, axis=1, kind="stable").ravel()
    return tuple(int(index) for index in order[place * batch : (place + 1) * batch])


def _labels(roles: Sequence[Role], training: Training, chances: Float[np.ndarray, "n"]) -> tuple[int, ...]:
    """Distinct labels with given weights: the smallest -log(u)/w (Efraimidis and Spirakis, 2006)."""
    balanced = training.label_sampling == "balanced"
    weights = np.array([1 / roles.count(role) if balanced else 1.0 for role in roles])
    order = np.argsort(-np.log(chances) / weights, kind="stable")
    return tuple(int(index) for index in order[: training.labels_per_pair])


def _uniform(shape: tuple[int, ...], *key: int) -> Float[np.ndarray, "..."]:
    """Numbers in (0, 1) from the raw Philox stream, which NumPy promises to keep for ever."""
    raw = np.random.Philox(np.random.SeedSequence(key)).random_raw(int(np.prod(shape)))
    result: Float[np.ndarray, "..."] = ((raw >> np.uint64(11)) + 0.5) * 2.0**-53
    return result.reshape(shape)


def apply(drawn: Draw, cohort: Sequence[Case], device: torch.device) -> Batch:
    """Assemble and augment the batch that a draw describes; deterministic.

    Args:
        drawn: from `draw`, with the roles of this cohort.
        cohort: all cases of one grid, in the order that was drawn from.
        device: where the batch is wanted.

    Returns:
        the batch in float32; image and labels of a side lie under the same affine map, the
        two sides under independent ones.
    """
    cases = [cohort[pair] for pair in drawn.pairs]
    width = max(len(labels) for labels in drawn.labels)
    present = torch.tensor([[slot < len(labels) for slot in range(width)] for labels in drawn.labels])
    sides = []
    for side, corners in zip(SIDES, drawn.corners, strict=True):
        shape = cases[0].image(side).shape
        image = torch.empty(len(cases), *shape, device=device)
        labels = torch.zeros(len(cases), width, *shape[1:], device=device)
        for index, (case, chosen) in enumerate(zip(cases, drawn.labels, strict=True)):
            image[index].copy_(case.image(side), non_blocking=True)
            case.paste(side, chosen, labels[index])
        sides.append(_augmented(image, labels, corners))
    (moving, moving_labels), (fixed, fixed_labels) = sides
    return Batch(moving, fixed, moving_labels, fixed_labels, present.to(device, non_blocking=True))


def _augmented(image: Image, labels: Labels, corners: Float[np.ndarray, "b 4 3"]) -> tuple[Image, Labels]:
    if not corners.any():
        return image, labels
    maps = affine.corner_affine(torch.from_numpy(corners)).to(image.device, image.dtype, non_blocking=True)
    return warp_together(image, labels, affine.displacement(maps, image.shape[2:]))


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
