"""What a user should know of a registration that went through: where the model is beyond its experience."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tenter.cases.case_files import PreparedImages
from tenter.cases.planning import COVER_MM
from tenter.metrics import deformation
from tenter.records import Fault, Plan
from tenter.registration.inputs import Original, apart
from tenter.shapes import Matrix
from tenter.spatial import geometry, jacobian
from tenter.spatial.transform import Transform

FAR = 2.0
"""Voxels this many times larger or smaller than those that a model was trained on are told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the network's field is like, on the case grid, without the alignment.

    Attributes:
        mean_mm: mean length of the displacement.
        largest_mm: its largest length.
        folding_percent: share of voxels where the map is not locally invertible.
        spread_mm: root mean square distance of the members' fields from their mean, before any refinement;
            None for one model.
    """

    mean_mm: float
    largest_mm: float
    folding_percent: float
    spread_mm: float | None


def figures(transform: Transform, fields: Sequence[Tensor]) -> Figures:
    """Measure a field, and how far the members of an ensemble differ.

    Args:
        transform: of the pair.
        fields: each member's, `[1, 3, x, y, z]`, voxels.
    """
    length = _length_mm(transform.field, transform.affine)
    determinants = jacobian.determinant(transform.field.double())[0].cpu().numpy()
    middle = torch.stack(list(fields)).mean(dim=0)
    apart_mm = [_length_mm(field - middle, transform.affine) for field in fields]
    squares = [float((item**2).mean()) for item in apart_mm]
    return Figures(
        mean_mm=float(length.mean()),
        largest_mm=float(length.max()),
        folding_percent=deformation.folding_percent(determinants),
        spread_mm=float(np.sqrt(np.mean(squares))) if len(fields) > 1 else None,
    )


def concerns(
    moving: Original, fixed: Original, plan: Plan, images: PreparedImages, found: Figures
) -> Iterator[Fault]:
    """Warnings about a registered pair.

    Args:
        moving: the moving image.
        fixed: the fixed image.
        plan: the model's.
        images: both on the case grid.
        found: what the field is like.
    """
    for image in (moving, fixed):
        yield from (image.warning(doubt.message, doubt.fix) for doubt in image.doubts)
        yield from _unfamiliar(image, plan)
    missed = apart(moving, fixed, images.alignment)
    if missed is not None:
        yield missed
    reach = beyond_mm(images)
    if reach > 0:
        size = " x ".join(f"{n * mm:g}" for n, mm in zip(plan.shape, plan.spacing_mm, strict=True))
        message = (
            f"reaches up to {reach:.1f} mm beyond the model's grid of {size} mm, where nothing is displaced"
        )
        yield fixed.warning(message, "crop it to what matters, or train on a larger grid (plan.shape)")
    if found.folding_percent > 0:
        share = f"{found.folding_percent:.2g} %"
        message = f"is registered by a field that folds in {share} of its voxels: tissue turned inside out"
        yield fixed.warning(
            message, "look at the pair; train with a stronger regulariser if it happens often"
        )


def beyond_mm(images: PreparedImages) -> float:
    """How far the fixed image reaches beyond the case grid, mm, where it does most; else 0."""
    source = images.fixed_source
    ends = itertools.product(*((-0.5, size - 0.5) for size in source.shape))
    to_grid = np.linalg.inv(images.affine) @ source.affine
    corners = geometry.apply(to_grid, np.array(list(ends)))
    sizes = np.array(images.fixed.shape[1:])
    over = np.maximum(-0.5 - corners, corners - (sizes - 0.5)) * geometry.spacing_mm(images.affine)
    reach = float(over.max())
    return reach if reach > COVER_MM else 0.0


def _unfamiliar(image: Original, plan: Plan) -> Iterator[Fault]:
    cohort: Any = plan.cohort
    usual = cohort.get(image.side, {}).get("median_spacing_mm")
    if usual is None:
        return
    own = _spacing_mm(image.volume.affine)
    if max(max(a / b, b / a) for a, b in zip(own, usual, strict=True)) > FAR:
        told, known = (" x ".join(f"{size:.3g}" for size in sizes) for sizes in (own, usual))
        message = (
            f"has voxels of {told} mm; the model was trained on {image.side} images of {known} mm (median)"
        )
        yield image.warning(message, "check its unit, and expect less of an image of another kind")


def _spacing_mm(affine: Matrix) -> tuple[float, ...]:
    """Voxel size along R, A and S."""
    spacing = np.array(geometry.spacing_mm(affine))
    order = np.abs(geometry.canonical_directions(affine).T @ affine[:3, :3] / spacing).argmax(axis=1)
    return tuple(float(size) for size in spacing[order])


def _length_mm(field: Tensor, affine: Matrix) -> Tensor:
    spacing = field.new_tensor(geometry.spacing_mm(affine)).reshape(1, 3, 1, 1, 1)
    lengths: Tensor = (field * spacing).norm(dim=1)
    return lengths
