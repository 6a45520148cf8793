"""A cohort of slices, stored in several ways: an organ and a spot in it,
elsewhere in the moving image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

SIZE, STEP_MM, THICKNESS_MM = (30, 26), (2.0, 2.5), 6.0
TILTED = Rotation.from_euler("xyz", [8, -6, 12], degrees=True).as_matrix()
COLUMNS = ("moving_image", "fixed_image", "moving_labels", "fixed_labels")
POINTS = ("moving_points", "fixed_points")


@dataclass(frozen=True)
class Stored:
    """How a cohort's slices lie, and how they are stored.

    Attributes:
        normal: of the world's R, A and S axes the one that slices are perpendicular to.
        turn: of all slices in the world, a rotation.
        flat_axis: of the stored three the one of one voxel.
        flipped: whether the first of the others runs backwards.
    """

    normal: int = 2
    turn: np.ndarray | None = None
    flat_axis: int = 2
    flipped: bool = False

    def affine(self, first_mm: tuple[float, float]) -> np.ndarray:
        """Voxel to RAS mm of a slice `[x, y, 1]` whose first voxel lies there in its plane."""
        along = [axis for axis in range(3) if axis != self.normal]
        turn = np.eye(3) if self.turn is None else self.turn
        result = np.eye(4)
        for column, (axis, step) in enumerate(
            zip((*along, self.normal), (*STEP_MM, THICKNESS_MM), strict=True)
        ):
            result[:3, column] = turn[:, axis] * step
        result[:3, 3] = turn[:, along] @ first_mm + turn[:, self.normal] * 17.3
        return result

    def written(self, path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
        """Write `[x, y, 1]` or `[x, y, 1, c]` of an `affine` as this says."""
        if self.flipped:
            values, affine = values[::-1], affine @ np.diag([-1.0, 1, 1, 1])
            affine[:3, 3] -= affine[:3, 0] * (len(values) - 1)
        order = [0, 1]
        order.insert(self.flat_axis, 2)
        values = values.transpose(*order, *range(3, values.ndim))
        image = nib.Nifti1Image(np.ascontiguousarray(values), affine[:, [*order, 3]])
        image.set_sform(image.affine, code=1)
        image.set_qform(image.affine, code=1)
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
        return path


def written(folder: Path, stored: Stored, pairs: int = 4) -> Path:
    """Write a cohort and its manifest; equal for all ways of storing it, but for the way."""
    folder.mkdir(parents=True)
    lines = ["\t".join(("pair", "patient", *COLUMNS, *POINTS))]
    for number in range(pairs):
        random = np.random.default_rng(number)
        shift = random.uniform(-6, 6, 2)
        cells = [
            f"case-{number}",
            f"patient-{number}",
            *(f"{number}-{column}.nii.gz" for column in COLUMNS),
        ]
        cells += [f"{number}-{column}.tsv" for column in POINTS]
        for side, moved in (("moving", shift), ("fixed", np.zeros(2))):
            first = (-28.0, -30.0) if side == "moving" else (-31.0, -33.0)
            affine = stored.affine(first)
            labels, image = _slice(first, moved, random, bright=side == "moving")
            stored.written(folder / f"{number}-{side}_image.nii.gz", image, affine)
            stored.written(folder / f"{number}-{side}_labels.nii.gz", labels, affine)
            spot = affine @ [*((np.array([8.0, 4.0]) + moved - first) / STEP_MM), 0, 1]
            table = "label\tx\ty\tz\nspot\t" + "\t".join(f"{value:.6f}" for value in spot[:3])
            (folder / f"{number}-{side}_points.tsv").write_text(table + "\n")
        lines.append("\t".join(cells))
    manifest = folder / "manifest.tsv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def _slice(
    first: tuple[float, float], moved: np.ndarray, random: np.random.Generator, *, bright: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Labels `[x, y, 1, 2]` (organ, spot) and image `[x, y, 1]` of a side."""
    x, y = (
        (start + step * np.arange(size) - shift).reshape(shape)
        for start, step, size, shift, shape in zip(
            first, STEP_MM, SIZE, moved, ((-1, 1), (1, -1)), strict=True
        )
    )
    organ = (x / 17) ** 2 + (y / 14) ** 2 <= 1
    spot = (x - 8) ** 2 + (y - 4) ** 2 <= 4.5**2
    values = 100 + 80 * organ - 60 * spot + random.normal(0, 4, SIZE)
    image = (values if bright else 300 - values).astype(np.float32)
    return np.stack([organ, spot], axis=-1)[:, :, None].astype(np.uint8), image[..., None]


def thicken(path: Path) -> None:
    """Make a volume of a slice `[x, y, 1]`: three of it, with other values in the last."""
    image = nib.nifti1.Nifti1Image.from_filename(path)
    values = np.asarray(image.dataobj)
    volume = np.concatenate([values, values, values[::-1]], axis=2)
    thick = nib.Nifti1Image(volume, image.affine)
    thick.set_sform(image.affine, code=1)
    thick.set_qform(image.affine, code=1)
    nib.save(thick, path)
