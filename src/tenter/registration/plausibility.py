"""Warnings about a successful registration, such as images unlike the training images."""

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
"""Voxels this many times larger or smaller than those of the training images cause a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Measures of the network's field on the case grid, without the alignment.

    Attributes:
        mean_mm: mean length of the displacement.
        largest_mm: its largest length.
        folding_percent: share of voxels where the map is not locally invertible.
        spread_mm: root mean square distance of the members' fields from their mean, before any
            refinement; None for one model.
    """

    mean_mm: float
    largest_mm: float
    folding_percent: float
    spread_mm: float | None


def figures(transform: Transform, fields: Sequence[Tensor]) -> Figures:
    """Measure a field, and the spread of an ensemble's members.

    Args:
        transform: of the pair.
        fields: each member's, `[1, 3, x, y, z]`, voxels.
    """
    length = _length_mm(transform.field, transform.affine)
    determinants = jacobian.determinant(transform.field.double())[0].cpu().numpy()
    mean_field = torch.stack(list(fields)).mean(dim=0)
    distances_mm = [_length_mm(field - mean_field, transform.affine) for field in fields]
    squares = [float((distance_mm**2).mean()) for distance_mm in distances_mm]
    return Figures(
        mean_mm=float(length.mean()),
        largest_mm=float(length.max()),
        folding_percent=deformation.folding_percent(determinants),
        spread_mm=float(np.sqrt(np.mean(squares))) if len(fields) > 1 else None,
    )


def warnings(
    moving: Original, fixed: Original, plan: Plan, images: PreparedImages, field_figures: Figures
) -> Iterator[Fault]:
    """Warnings about a registered pair.

    Args:
        moving: the moving image.
        fixed: the fixed image.
        plan: the model's.
        images: both on the case grid.
        field_figures: measures of the field.
    """
    for image in (moving, fixed):
        yield from image.doubts
        yield from _unfamiliar(image, plan)
    separation = apart(moving, fixed, images.alignment)
    if separation is not None:
        yield separation
    reach = beyond_mm(images)
    if reach > 0:
        size = " x ".join(f"{n * mm:g}" for n, mm in zip(plan.shape, plan.spacing_mm, strict=True))
        message = (
            f"reaches up to {reach:.1f} mm beyond the model's grid of {size} mm, "
            "where nothing is displaced"
        )
        yield fixed.warning(
            message, "crop it to what matters, or train on a larger grid (plan.shape)"
        )
    if field_figures.folding_percent > 0:
        share = f"{field_figures.folding_percent:.2g} %"
        message = (
            f"is registered by a field that folds in {share} of its voxels: "
            "tissue turned inside out"
        )
        yield fixed.warning(
            message, "inspect the pair; train with a stronger regulariser if it happens often"
        )


def beyond_mm(images: PreparedImages) -> float:
    """The largest distance by which the fixed image extends beyond the case grid, mm; else 0."""
    source = images.fixed_source
    ends = itertools.product(*((-0.5, size - 0.5) for size in source.shape))
    to_grid = np.linalg.inv(images.affine) @ source.affine
    corners = geometry.apply(to_grid, np.array(list(ends)))
    sizes = np.array(images.fixed.shape[1:])
    excess = np.maximum(-0.5 - corners, corners - (sizes - 0.5)) * geometry.spacing_mm(
        images.affine
    )
    reach = float(excess.max())
    return reach if reach > COVER_MM else 0.0


def _unfamiliar(image: Original, plan: Plan) -> Iterator[Fault]:
    cohort: Any = plan.cohort
    trained_spacing = cohort.get(image.side, {}).get("median_spacing_mm")
    if trained_spacing is None:
        return
    spacing = _spacing_mm(image.volume.affine)
    if max(max(a / b, b / a) for a, b in zip(spacing, trained_spacing, strict=True)) > FAR:
        image_size, trained_size = (
            " x ".join(f"{size:.3g}" for size in sizes) for sizes in (spacing, trained_spacing)
        )
        message = (
            f"has voxels of {image_size} mm; the model was trained on {image.side} images of "
            f"{trained_size} mm (median)"
        )
        yield image.warning(
            message, "check its unit, and expect worse results for an unfamiliar kind of image"
        )


def _spacing_mm(affine: Matrix) -> tuple[float, ...]:
    """Voxel size along R, A and S."""
    spacing = np.array(geometry.spacing_mm(affine))
    order = np.abs(geometry.canonical_directions(affine).T @ affine[:3, :3] / spacing).argmax(
        axis=1
    )
    return tuple(float(size) for size in spacing[order])


def _length_mm(field: Tensor, affine: Matrix) -> Tensor:
    spacing = field.new_tensor(geometry.spacing_mm(affine)).reshape(1, 3, 1, 1, 1)
    lengths: Tensor = (field * spacing).norm(dim=1)
    return lengths
