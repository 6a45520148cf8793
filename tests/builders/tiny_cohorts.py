"""Tiny cohorts on disk: images of spheres with labels, stored in any way, and their manifest."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

STORAGES = ("RAS", "LAS", "LPS", "PIR")
"""Ways to store one volume: where its three axes point."""

FIXED_SHAPE, MOVING_SHAPE = (12, 14, 10), (13, 12, 11)
FIXED_SPACING, MOVING_SPACING = (2.0, 2.0, 2.0), (2.5, 2.0, 2.2)
SPHERES = {1: ((0.0, 0.0, 0.0), 7.0), 2: ((3.0, -4.0, 2.0), 3.0), 5: ((-4.0, 3.0, -1.0), 3.0)}
"""Label to centre and radius, mm, in a patient's own frame."""


@dataclass(frozen=True)
class Geometry:
    """Where a volume lies and how it is stored.

    Attributes:
        storage: axis codes of the file, such as LPS.
        degrees: rotation about an oblique axis.
        spacing: mm along R, A and S, before the rotation; None is the side's usual one.
    """

    storage: str = "RAS"
    degrees: float = 0.0
    spacing: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class TinyCohort:
    """A cohort on disk: its folder, manifest and ids."""

    folder: Path
    manifest: Path
    ids: tuple[str, ...]

    def rows(self) -> list[dict[str, str]]:
        """The manifest's rows."""
        with self.manifest.open(newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t"))

    def file(self, pair: str, column: str) -> Path:
        """A file of a pair."""
        return next(self.folder / row[column] for row in self.rows() if row["pair"] == pair)


def write_cohort(
    folder: Path,
    *,
    pairs: int = 2,
    fixed: Geometry = Geometry(),
    moving: Geometry = Geometry(),
    labels: str = "map",
    sets: Sequence[str] = (),
) -> TinyCohort:
    """Write pairs of images with labels and their manifest.

    The fixed image shows spheres, the moving one the same spheres shifted by (1.5, -1, 0.5) mm
    with other contrast. Two pairs share a patient.

    Args:
        folder: of the cohort.
        pairs: number of pairs.
        fixed: geometry of fixed images.
        moving: geometry of moving images.
        labels: `map`, `stack` or `none`.
        sets: each pair's set; default: all cross-validated.
    """
    rows = []
    for index in range(pairs):
        row = {"pair": f"pair{index:02d}", "patient": f"patient{index // 2:02d}"}
        for side, chosen in (("moving", moving), ("fixed", fixed)):
            shift = np.array([1.5, -1.0, 0.5]) * (side == "moving") + 0.25 * index
            row |= _write_side(folder, row["pair"], side, (chosen, shift, labels))
        row["set"] = sets[index] if sets else "cv"
        rows.append(row)
    manifest = folder / "manifest.tsv"
    with manifest.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return TinyCohort(folder, manifest, tuple(row["pair"] for row in rows))


def _write_side(
    folder: Path, pair: str, side: str, how: tuple[Geometry, np.ndarray, str]
) -> dict[str, str]:
    chosen, shift, labels = how
    usual = (FIXED_SHAPE, FIXED_SPACING) if side == "fixed" else (MOVING_SHAPE, MOVING_SPACING)
    affine = world(usual[0], chosen.spacing or usual[1], chosen.degrees)
    points = voxel_points(usual[0], affine) - shift
    image = picture(points) if side == "fixed" else 200 - 1.5 * picture(points)
    files = {f"{side}_image": (image.astype(np.float32), f"{side}/{pair}.nii.gz")}
    if labels != "none":
        files[f"{side}_labels"] = (spheres(points, labels), f"{side}_labels/{pair}.nii.gz")
    for array, name in files.values():
        save(folder / name, *stored(array, affine, chosen.storage))
    return {column: name for column, (_, name) in files.items()}


def world(shape: Sequence[int], spacing: Sequence[float], degrees: float = 0.0) -> np.ndarray:
    """Affine of a volume whose middle is at (10, -20, 30) mm, turned about the axis (1, 2, 3)."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.cross(np.eye(3), axis)
    angle = np.deg2rad(degrees)
    turn = np.eye(3) - np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = turn * np.asarray(spacing)
    affine[:3, 3] = np.array([10.0, -20.0, 30.0]) - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return affine


def voxel_points(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """World place of each voxel relative to (10, -20, 30) mm, `[x, y, z, 3]`."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    places: np.ndarray = index @ affine[:3, :3].T + (affine[:3, 3] - np.array([10.0, -20.0, 30.0]))
    return places


def picture(points: np.ndarray) -> np.ndarray:
    """Smooth spheres of different brightness on a slope, so that no axis looks like another."""
    values: np.ndarray = 50 + points @ np.array([0.7, -0.4, 0.2])
    for key, (centre, radius) in SPHERES.items():
        distance = np.linalg.norm(points - np.array(centre), axis=-1)
        values = values + 20 * key / (1 + np.exp(distance - radius))
    return values


def spheres(points: np.ndarray, labels: str) -> np.ndarray:
    """Integer map or stack of the spheres; in the map, small ones lie over the large one."""
    masks = [
        np.linalg.norm(points - np.array(centre), axis=-1) <= r for centre, r in SPHERES.values()
    ]
    if labels == "stack":
        return np.stack(masks, axis=-1).astype(np.uint8)
    combined = np.zeros(points.shape[:-1], dtype=np.uint8)
    for key, mask in zip(SPHERES, masks, strict=True):
        combined[mask] = key
    return combined


def stored(array: np.ndarray, affine: np.ndarray, storage: str) -> tuple[np.ndarray, np.ndarray]:
    """The same volume with its axes in another order and direction, and its affine."""
    codes = nib.orientations.axcodes2ornt(storage)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), codes)
    turned = nib.orientations.apply_orientation(array, turn)
    return turned, affine @ nib.orientations.inv_ornt_aff(turn, array.shape[:3])


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """Write NIfTI by nibabel, sform and qform alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path
