"""The true deformations of a simulated cohort explain its files, as ITK and SciPy read them."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from tenter.stages.simulate import simulate

PAIRS = [f"case-{number:03d}" for number in range(1, 6)]
LPS = np.array([-1.0, -1.0, 1.0])
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pairs at the demonstration's own resolution."""
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    simulate(folder, pairs=len(PAIRS), patients=4, seed=11)
    return folder


def itk_map(path: Path, points: Array) -> Array:
    """Moving points (RAS mm) of fixed points by ITK's own reading of a transform."""
    transform = sitk.ReadTransform(str(path))
    mapped = [transform.TransformPoint(point) for point in (points * LPS).tolist()]
    return np.asarray(mapped * LPS)


def stack(cohort: Path, pair: str, side: str) -> tuple[Array, Array]:
    """Labels [l, x, y, z] in [0, 1], and their affine."""
    volume = nib.Nifti1Image.from_filename(cohort / f"labels/{pair}-{side}.nii.gz")
    return np.moveaxis(np.array(volume.get_fdata()), -1, 0), np.asarray(volume.affine)


def warped(cohort: Path, pair: str) -> tuple[Array, Array, Array]:
    """Moving labels carried onto the fixed grid by the truth, the fixed labels,
    the fixed affine.
    """
    moving, moving_affine = stack(cohort, pair, "moving")
    fixed, affine = stack(cohort, pair, "fixed")
    voxels = np.indices(fixed.shape[1:]).reshape(3, -1).T
    mapped = itk_map(cohort / f"truth/{pair}.h5", voxels @ affine[:3, :3].T + affine[:3, 3])
    places = (mapped - moving_affine[:3, 3]) @ np.linalg.inv(moving_affine[:3, :3]).T
    carried = [ndimage.map_coordinates(label, places.T, order=1) for label in moving]
    return np.reshape(carried, (-1, *fixed.shape[1:])), fixed, affine


def centroid(label: Array, affine: Array) -> Array:
    """Centre of the voxels that are at least half filled, RAS mm."""
    inside = np.argwhere(label >= 0.5).mean(axis=0)
    return np.asarray(affine[:3, :3] @ inside + affine[:3, 3])


@pytest.mark.parametrize("pair", PAIRS)
def test_truth_maps_corresponding_points_within_a_tenth_of_a_millimetre(
    cohort: Path, pair: str
) -> None:
    with (cohort / f"truth/{pair}.points.tsv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    fixed, moving = (
        np.array([[float(row[f"{side}_{axis}"]) for axis in "xyz"] for row in rows])
        for side in ("fixed", "moving")
    )
    errors = np.linalg.norm(itk_map(cohort / f"truth/{pair}.h5", fixed) - moving, axis=1)
    assert len(errors) == 64
    assert errors.max() <= 0.1


@pytest.mark.parametrize("pair", PAIRS)
def test_truth_carries_the_gland_onto_the_gland(cohort: Path, pair: str) -> None:
    carried, fixed, _ = warped(cohort, pair)
    first, second = carried[0] >= 0.5, fixed[0] >= 0.5
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) >= 0.97


@pytest.mark.parametrize("pair", PAIRS)
def test_truth_carries_landmarks_onto_landmarks(cohort: Path, pair: str) -> None:
    carried, fixed, affine = warped(cohort, pair)
    voxel_mm = abs(np.linalg.det(affine[:3, :3])) ** (1 / 3)
    both = range(2, min(len(carried), len(fixed)))
    errors = [
        np.linalg.norm(centroid(carried[k], affine) - centroid(fixed[k], affine)) for k in both
    ]
    assert both
    assert max(errors) <= 0.3 * voxel_mm


@pytest.mark.parametrize("pair", PAIRS)
def test_without_the_truth_there_is_something_to_learn(cohort: Path, pair: str) -> None:
    """Image centres on one another leave the gland visibly off: the cohort is not trivial."""
    moving, moving_affine = stack(cohort, pair, "moving")
    fixed, affine = stack(cohort, pair, "fixed")
    centres = [
        matrix[:3, :3] @ ((np.array(volume.shape[1:]) - 1) / 2) + matrix[:3, 3]
        for volume, matrix in ((moving, moving_affine), (fixed, affine))
    ]
    fixed_gland = np.argwhere(fixed[0] >= 0.5) @ affine[:3, :3].T + affine[:3, 3]
    mapped = itk_map(cohort / f"truth/{pair}.h5", fixed_gland)
    errors = np.linalg.norm(mapped - (fixed_gland + centres[0] - centres[1]), axis=1)
    assert errors.mean() > 2.0
