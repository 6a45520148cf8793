"""Derive a plan from a cohort's headers, with statistics that later show a drift of the cohort."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tenter.config import PlanRules
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.records import Fault, ImagePair, Plan
from tenter.spatial import geometry, slices

MAX_VOXELS = 2**28
"""Largest plausible number of voxels of a common grid; each takes 4 bytes per image."""

Side = Literal["moving", "fixed"]

SUBJECT = "plan"
"""What a fault is about that concerns no single image."""

COVER_MM = 1e-3
"""A grid counts as covering an image that extends less than this beyond it on each side."""


@dataclass(frozen=True, slots=True)
class Extent:
    """One image of the cohort, along the R, A and S axes.

    Attributes:
        shape: voxels.
        spacing_mm: voxel size.
        channels: of the image.
        bytes: size of its file.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    channels: int
    bytes: int

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """From the first voxel's outer face to the last one's."""
        x, y, z = (voxels * step for voxels, step in zip(self.shape, self.spacing_mm, strict=True))
        return x, y, z


def extent(path: Path) -> Extent:
    """Read an image's header and turn it towards R, A and S.

    Raises:
        DataError: the file cannot be used.
    """
    header = volumes.header(path)
    spacing = geometry.spacing_mm(header.affine)
    x, y, z = geometry.canonical_order(header.affine)
    size = sum(part.stat().st_size for part in volumes.parts(path))
    # Rounded: headers store voxel sizes as float32.
    steps = (round(spacing[x], 6), round(spacing[y], 6), round(spacing[z], 6))
    return Extent((header.shape[x], header.shape[y], header.shape[z]), steps, header.channels, size)


def derive(pairs: Sequence[ImagePair], rules: PlanRules) -> Plan:
    """The plan of a cohort: the fixed images' median voxel size, and a shape that covers them all.

    For slices the grid is one slice too, as thick as the thickest fixed slice unless three voxel
    sizes are given.

    Args:
        pairs: the whole cohort.
        rules: settings that override derived values.

    Raises:
        DataError: an image cannot be used, has other channels than the rest, or is a slice among
            volumes (the message names every such image); or the shape is for images of another
            kind, or far too large.
    """
    moving, fixed = _extents(pairs)
    _require_one_kind(pairs, moving, fixed)
    spacing = _spacing(fixed, rules)
    shape = rules.shape or _cover(fixed, spacing)
    _require_possible(pairs, fixed, shape, spacing)
    if kind(shape) != kind(fixed[0].shape):
        message = (
            f"plan.shape is {kind(shape)} ({' x '.join(map(str, shape))}), and the images are "
            f"{kind(fixed[0].shape)}"
        )
        fix = (
            "leave it out, or give one voxel only along the axis that is perpendicular to the "
            "slices"
        )
        raise DataError(Fault(SUBJECT, message, fix))
    return Plan(
        shape=shape,
        spacing_mm=spacing,
        intensity=rules.intensity,
        alignment=rules.alignment,
        moving_channels=_channels(pairs, moving, "moving"),
        fixed_channels=_channels(pairs, fixed, "fixed"),
        cohort=figures(moving, fixed),
    )


def adopt(pairs: Sequence[ImagePair], plan: Plan) -> Plan:
    """A finished model's plan for the cohort that it registers, with this cohort's statistics.

    Args:
        pairs: the whole cohort.
        plan: the model's.

    Raises:
        DataError: an image cannot be used, or is of another kind than the model was trained on; the
            message names every such image.
    """
    moving, fixed = _extents(pairs)
    _require_one_kind(pairs, moving, fixed)
    fix = "give images of the kind that the model was trained on"
    mismatches = [Fault(SUBJECT, message, fix) for _, message in unlike(moving, fixed, plan)]
    if mismatches:
        raise DataError(mismatches)
    return replace(plan, cohort=figures(moving, fixed))


def unlike(
    moving: Sequence[Extent], fixed: Sequence[Extent], plan: Plan
) -> Iterator[tuple[Side, str]]:
    """How a cohort's images differ in kind from those a plan is for: channels, slices or volumes.

    Args:
        moving: the moving image of every pair.
        fixed: the fixed image of every pair.
        plan: of a finished model.

    Yields:
        The side and what is wrong with it.
    """
    sides: tuple[tuple[Side, Sequence[Extent]], ...] = (("moving", moving), ("fixed", fixed))
    for side, extents in sides:
        trained = getattr(plan, f"{side}_channels")
        channels = sorted({image.channels for image in extents} - {trained})
        if channels:
            counts = " or ".join(map(str, channels))
            yield side, f"{side} images have {counts} channels, the model's have {trained}"
    kinds = sorted({kind(image.shape) for image in fixed} - {kind(plan.shape)})
    if kinds:
        yield (
            "fixed",
            f"fixed images are {' or '.join(kinds)}, the model's grid is {kind(plan.shape)}",
        )


def kind(shape: Sequence[int]) -> str:
    """Describe an image by its voxels along R, A and S: a volume, or which kind of slice."""
    axis = slices.normal(shape)
    return "a volume" if axis is None else f"a slice ({('sagittal', 'coronal', 'axial')[axis]})"


def figures(moving: Sequence[Extent], fixed: Sequence[Extent]) -> dict[str, object]:
    """What a cohort looked like: counts, medians and extremes of each side."""
    sides = {"moving": moving, "fixed": fixed}
    return {
        "pairs": len(fixed),
        **{side: _side_figures(extents) for side, extents in sides.items()},
    }


def uncovered_mm(size_mm: Sequence[float], plan: Plan) -> float:
    """Largest distance in mm by which an image extends beyond the plan's grid on a side, or 0."""
    grid = (voxels * step for voxels, step in zip(plan.shape, plan.spacing_mm, strict=True))
    beyond = max((size - reach) / 2 for size, reach in zip(size_mm, grid, strict=True))
    return beyond if beyond > COVER_MM else 0.0


def _extents(pairs: Sequence[ImagePair]) -> tuple[list[Extent], list[Extent]]:
    known: dict[Path, Extent] = {}
    faults: dict[Path, tuple[Fault, ...]] = {}
    for path in (path for pair in pairs for path in (pair.moving, pair.fixed)):
        if path in known or path in faults:
            continue
        try:
            known[path] = extent(path)
        except DataError as error:
            faults[path] = error.faults
    if faults:
        raise DataError([fault for of_file in faults.values() for fault in of_file])
    return [known[pair.moving] for pair in pairs], [known[pair.fixed] for pair in pairs]


def _require_one_kind(
    pairs: Sequence[ImagePair], moving: Sequence[Extent], fixed: Sequence[Extent]
) -> None:
    """Refuse mixtures of slices and volumes; all fixed slices must have one orientation."""
    counts = Counter(kind(image.shape) for image in fixed)
    usual = counts.most_common(1)[0][0]
    flat = usual != "a volume"
    odd = {
        pair.fixed: kind(image.shape)
        for pair, image in zip(pairs, fixed, strict=True)
        if kind(image.shape) != usual
    } | {
        pair.moving: kind(image.shape)
        for pair, image in zip(pairs, moving, strict=True)
        if (slices.normal(image.shape) is not None) != flat
    }
    if odd:
        fix = "use separate studies for slices and volumes, and for each orientation of slices"
        raise DataError(
            [
                Fault(str(path), f"is {image_kind}, but most fixed images are {usual}", fix)
                for path, image_kind in odd.items()
            ]
        )


def _spacing(fixed: Sequence[Extent], rules: PlanRules) -> tuple[float, float, float]:
    requested = rules.spacing_mm
    if isinstance(requested, tuple):
        return requested
    steps = [
        round(float(step), 6) for step in np.median([image.spacing_mm for image in fixed], axis=0)
    ]
    if requested is not None:
        steps = [requested] * 3
    normal = slices.normal(fixed[0].shape)
    if normal is not None:
        steps[normal] = max(image.spacing_mm[normal] for image in fixed)
    x, y, z = steps
    return x, y, z


def _cover(fixed: Sequence[Extent], spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    largest = np.max([image.size_mm for image in fixed], axis=0)
    normal = slices.normal(fixed[0].shape)
    x, y, z = (
        1 if axis == normal else math.ceil((size - 2 * COVER_MM) / step)
        for axis, (size, step) in enumerate(zip(largest, spacing, strict=True))
    )
    return x, y, z


def _require_possible(
    pairs: Sequence[ImagePair],
    fixed: Sequence[Extent],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> None:
    """Refuse a grid of far too many voxels, or with voxels larger than an image.

    Wrong units in a header are the usual cause.
    """
    grid = (
        f"{' x '.join(map(str, shape))} voxels of {' x '.join(f'{step:g}' for step in spacing)} mm"
    )
    fix = "correct the unit of that file, or set `plan.spacing_mm` and `plan.shape`"
    volumes_mm3 = [math.prod(image.size_mm) for image in fixed]
    if math.prod(shape) > MAX_VOXELS:
        index = int(np.argmax(volumes_mm3))
        reason = (
            f"would need a common grid of {grid}, {4 * math.prod(shape) / 2**30:.3g} GiB for each "
            f"image (the limit is {4 * MAX_VOXELS / 2**30:g} GiB)"
        )
    elif all(
        step >= size
        for step, size in zip(spacing, np.max([e.size_mm for e in fixed], axis=0), strict=True)
    ):
        index = int(np.argmin(volumes_mm3))
        reason = f"is smaller than one voxel of the common grid of {grid}"
    else:
        return
    size, step = (
        " x ".join(f"{mm:.4g}" for mm in image)
        for image in (fixed[index].size_mm, fixed[index].spacing_mm)
    )
    message = f"of {size} mm and voxels of {step} mm {reason}"
    raise DataError(Fault(str(pairs[index].fixed), message, fix))


def _channels(pairs: Sequence[ImagePair], extents: Sequence[Extent], side: str) -> int:
    counts = {image.channels for image in extents}
    if len(counts) > 1:
        usual = int(np.median([image.channels for image in extents]))
        unusual = [
            pair.id for pair, image in zip(pairs, extents, strict=True) if image.channels != usual
        ]
        message = f"{side} images have {sorted(counts)} channels; all need the same number"
        fix = f"check {', '.join(unusual[:10])}{', ...' if len(unusual) > 10 else ''}"
        raise DataError(Fault(SUBJECT, message, fix))
    return counts.pop()


def _side_figures(extents: Sequence[Extent]) -> dict[str, object]:
    shapes, spacings, sizes = (
        np.array([getattr(image, name) for image in extents])
        for name in ("shape", "spacing_mm", "size_mm")
    )
    return {
        "median_shape": np.median(shapes, axis=0).tolist(),
        "median_spacing_mm": np.median(spacings, axis=0).round(6).tolist(),
        "median_size_mm": np.median(sizes, axis=0).round(3).tolist(),
        "smallest_size_mm": sizes.min(axis=0).round(3).tolist(),
        "largest_size_mm": sizes.max(axis=0).round(3).tolist(),
        "bytes": sum(image.bytes for image in extents),
    }
