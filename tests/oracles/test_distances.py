"""O15-O18: errors in millimetres, wherever in the world and however stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from builders.measured_pairs import (
    AFFINE,
    FIXED_BALLS,
    MOVING,
    MOVING_BALLS,
    MeasuredStudy,
    balls,
    bent,
)
from tenter.formats import transforms, volumes
from tenter.metrics.centroids import centroid_distance_mm, centroid_mm
from tenter.metrics.points import point_errors_mm
from tenter.metrics.surfaces import surface_distances
from tenter.shapes import Mask, Matrix
from tenter.spatial import geometry

SPACING = (0.8, 1.1, 2.5)
SHIFT = (3, -2, 1)
ERROR_MM = 4.104875150


def blob(shift: tuple[int, int, int] = (0, 0, 0)) -> Mask:
    """A mask without any symmetry, so that exchanged axes would show."""
    mask = np.zeros((16, 16, 16), dtype=np.bool_)
    mask[4:9, 5:8, 6:8] = True
    mask[8, 7, 9] = True
    return np.roll(mask, shift, axis=(0, 1, 2))


def motion() -> Matrix:
    matrix = geometry.translation((40.0, -25.0, 60.0))
    matrix[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    return matrix


def test_o15_the_error_of_a_translation_is_its_length_in_mm_not_in_voxels() -> None:
    found = centroid_distance_mm(blob(), blob(SHIFT), np.diag([*SPACING, 1.0]))
    assert found == pytest.approx(ERROR_MM, abs=1e-6)
    assert found != pytest.approx(np.linalg.norm(SHIFT), abs=0.3)


def test_o15_the_error_at_a_point_is_so_too() -> None:
    ends = np.array([[7.0, 3.0, 5.0], np.add([7.0, 3.0, 5.0], SHIFT)]) * SPACING
    assert point_errors_mm(ends[:1], ends[1:])[0] == pytest.approx(ERROR_MM, abs=1e-6)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return figures(tmp_path_factory.mktemp("untouched"), lambda _: None)


def figures(root: Path, change: Callable[[MeasuredStudy], None]) -> dict[str, float]:
    """What evaluation finds of a pair after some change of its files."""
    study = MeasuredStudy(root)
    study.add("p", bent(), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
    change(study)
    found = {f"{row.metric} {row.label}": row.after for row in study.evaluate()}
    return {name: figure for name, figure in found.items() if figure is not None}


def rewrite(
    study: MeasuredStudy, stored: Callable[[np.ndarray, Matrix], tuple[np.ndarray, Matrix]]
) -> None:
    """Store images and labels of both sides otherwise."""
    for side in ("moving", "fixed"):
        image, labels = (study.root / f"p-{side}{kind}.nii.gz" for kind in ("", "-labels"))
        picture, drawn = sitk.ReadImage(str(image)), sitk.ReadImage(str(labels))
        affine = volumes.header(image).affine
        for path, held in ((image, picture), (labels, drawn)):
            array, placed = stored(sitk.GetArrayFromImage(held).transpose(2, 1, 0), affine)
            write = volumes.write_image if path == image else volumes.write_labels
            write(path, array, placed)


def moved(study: MeasuredStudy) -> None:
    """Headers, and the map between them, carried elsewhere by one rigid motion."""
    rigid = motion()
    rewrite(study, lambda array, affine: (array, rigid @ affine))
    path = study.root / "fields/p/transform.h5"
    read = transforms.read_transform(path)
    alignment = rigid @ read.alignment @ np.linalg.inv(rigid)
    transforms.write_transform(path, replace(read, alignment=alignment, affine=rigid @ read.affine))


def flipped(study: MeasuredStudy) -> None:
    """Both sides stored with their first axis the other way round."""

    def other(array: np.ndarray, affine: Matrix) -> tuple[np.ndarray, Matrix]:
        turn = np.diag([-1.0, 1, 1, 1])
        turn[0, 3] = array.shape[0] - 1
        return array[::-1], affine @ turn

    rewrite(study, other)


def cropped(study: MeasuredStudy) -> None:
    """Planes without any label cut away."""

    def less(array: np.ndarray, affine: Matrix) -> tuple[np.ndarray, Matrix]:
        start = np.array([2, 1, 1])
        return array[2:-1, 1:-1, 1:], affine @ geometry.translation(start.astype(np.float64))

    rewrite(study, less)


@pytest.mark.parametrize("change", [moved, flipped, cropped])
def test_o16_figures_do_not_depend_on_place_and_storage(
    untouched: dict[str, float], tmp_path: Path, change: Callable[[MeasuredStudy], None]
) -> None:
    found = figures(tmp_path, change)
    names = {
        name for name in untouched if name.partition(" ")[0] not in {"folding", "sd_log_jacobian"}
    }
    assert {"tre gland", "tre cyst", "hd95 gland", "dice cyst"} <= names
    for name in names:
        assert found[name] == pytest.approx(untouched[name], abs=1e-3), name
    assert untouched["tre cyst"] > 1


def test_o17_the_centroid_is_that_of_simpleitk() -> None:
    affine = motion() @ np.diag([*SPACING, 1.0])
    lps = geometry.LPS @ affine
    image = sitk.GetImageFromArray(blob().astype(np.uint8).transpose(2, 1, 0))
    image.SetSpacing(SPACING)
    image.SetDirection((lps[:3, :3] / SPACING).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(image)
    found = centroid_mm(blob(), affine)
    assert found is not None
    np.testing.assert_allclose(
        found, np.array(shapes.GetCentroid(1)) * [-1, -1, 1], rtol=0, atol=1e-10
    )


def test_o18_a_cube_shifted_by_three_slices_is_as_many_slices_off() -> None:
    cube = np.zeros((8, 8, 16), dtype=np.bool_)
    cube[2:6, 2:6, 2:6] = True
    found = surface_distances(cube, np.roll(cube, 3, axis=2), (1.0, 1.0, 2.5))
    assert found is not None
    assert found.hausdorff(100.0) == pytest.approx(7.5, abs=1e-6)
