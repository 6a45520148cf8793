"""Assembles batches from prepared cases as a draw describes; nothing here is random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional

from tenter.sampling import transfer
from tenter.sampling.augmentation import geometry, intensity
from tenter.sampling.cohort import SIDES, Case, Side
from tenter.sampling.draws import Draw
from tenter.spatial import grids, warp
from tenter.tensors import Field, Image, Labels


@dataclass(frozen=True, slots=True)
class Batch:
    """The batch of one training step.

    Attributes:
        moving: `[b, c, x, y, z]`.
        fixed: `[b, c, x, y, z]`.
        moving_labels: `[b, l, x, y, z]` in [0, 1]; zeros if a pair has fewer than l labels.
        fixed_labels: likewise.
        present: `[b, l]`, channels that hold a label.
        structures: `[b, l]`, labels that have the role of a structure.
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


def apply(drawn: Draw, cohort: Sequence[Case], device: torch.device) -> Batch:
    """Assemble and augment the batch that a draw describes; deterministic.

    Args:
        drawn: from `draw`, with the outline of this cohort.
        cohort: all cases, on one grid, in the order of that outline.
        device: device of the batch.

    Returns:
        The batch in float32. Image and labels of a side are warped by the same map; the two sides
        by independent maps, but they are mirrored together.
    """
    sides = []
    for side, change in zip(SIDES, drawn.changes, strict=True):
        image, labels = _assembled(drawn, cohort, side, device)
        field = geometry.displacement(change, image.shape[2:], device)
        if field is not None:
            image, labels = warp_together(image, labels, field)
        sides.append((intensity.changed(image, change), labels))
    (moving, moving_labels), (fixed, fixed_labels) = sides
    return Batch(moving, fixed, moving_labels, fixed_labels, *_kinds(drawn, cohort, device))


def _kinds(
    drawn: Draw, cohort: Sequence[Case], device: torch.device
) -> tuple[Bool[Tensor, "b l"], Bool[Tensor, "b l"]]:
    """Masks of the channels that hold a label, and of those that are structures."""
    shape = len(drawn.labels), max(len(labels) for labels in drawn.labels)
    present, structures = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for index, (pair, labels) in enumerate(zip(drawn.pairs, drawn.labels, strict=True)):
        present[index, : len(labels)] = True
        structures[index, : len(labels)] = [
            cohort[pair].labels[position].role == "structure" for position in labels
        ]
    return transfer.uploaded(present, device, torch.bool), transfer.uploaded(
        structures, device, torch.bool
    )


def _assembled(
    drawn: Draw, cohort: Sequence[Case], side: Side, device: torch.device
) -> tuple[Image, Labels]:
    number = SIDES.index(side)
    cases = [cohort[pair] for pair in (drawn.pairs, drawn.partners)[number]]
    shape = cases[0].image(side).shape
    width = max(len(labels) for labels in drawn.labels)
    image = torch.empty(len(cases), *shape, device=device)
    labels = torch.zeros(len(cases), width, *shape[1:], device=device)
    for index, (case, chosen) in enumerate(zip(cases, drawn.sources[number], strict=True)):
        source = case.image(side)
        if source.device.type != device.type:
            source = transfer.uploaded(source, device, image.dtype)
        image[index].copy_(source)
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
        The warped image and labels.
    """
    margin = (1, 1) * (image.ndim - 2)
    both = torch.cat(
        [functional.pad(image, margin, mode="replicate"), functional.pad(labels, margin)], dim=1
    )
    start = grids.identity(field.shape[2:], dtype=field.dtype, device=field.device) + 1
    warped = warp.sample(both, start + field, padding="border")
    return warped[:, : image.shape[1]], warped[:, image.shape[1] :]
