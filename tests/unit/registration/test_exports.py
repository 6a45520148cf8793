"""The files of a registered pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from builders import new_patient
from tenter.cases.case_files import Grid
from tenter.config import RegistrationExport
from tenter.formats import transforms, volumes
from tenter.registration import exports
from tenter.spatial import geometry, smooth
from tenter.spatial.transform import Transform

NOTHING = RegistrationExport(field=False, warped_image=False)
MOVING, FIXED = new_patient.volume("moving"), new_patient.volume("fixed")


def transform() -> Transform:
    """A smooth field that folds nowhere, after an alignment that turns."""
    random = torch.randn(
        (1, 3, *new_patient.PLAN.shape), generator=torch.Generator().manual_seed(3)
    )
    field = 6 * smooth.smooth(random, (2.0, 2.0, 2.0))
    grid = geometry.canonical_grid(
        FIXED.affine, FIXED.array.shape[1:], new_patient.PLAN.shape, new_patient.PLAN.spacing_mm
    )
    turn = np.eye(4)
    turn[:2, :2] = [[0.98, -0.19899749], [0.19899749, 0.98]]
    there, here = (
        geometry.centre_mm(image.affine, image.array.shape[1:]) for image in (MOVING, FIXED)
    )
    alignment = (
        geometry.translation(there) @ turn @ geometry.translation([-place for place in here])
    )
    return Transform(alignment, field, grid)


@dataclass(frozen=True)
class Written:
    """A folder of exports."""

    folder: Path
    made: list[Path]
    said: dict[str, float]

    def displacement(self, name: str) -> np.ndarray:
        """What ITK reads of a displacement field, `[x, y, z, 3]` LPS mm."""
        image = sitk.ReadImage(str(self.folder / name), sitk.sitkVectorFloat64)
        return np.asarray(np.moveaxis(sitk.GetArrayFromImage(image), (0, 1, 2), (2, 1, 0)))


def write(folder: Path, **asked: bool) -> Written:
    source = exports.Source(
        transform=transform(),
        moving=Grid(volume_shape(MOVING), MOVING.affine),
        fixed=Grid(volume_shape(FIXED), FIXED.affine),
        names=("7", "12"),
        image=lambda: MOVING,
    )
    made, said = exports.write_exports(folder, source, NOTHING.model_copy(update=asked))
    return Written(folder, made, said)


def volume_shape(volume: volumes.Volume) -> tuple[int, int, int]:
    _, x, y, z = volume.array.shape
    return x, y, z


def voxels(volume: volumes.Volume) -> np.ndarray:
    """Some voxels well inside a volume, `[n, 3]`."""
    sizes = np.array(volume.array.shape[1:])
    return np.random.default_rng(0).integers(2, sizes - 2, (20, 3))


def test_nothing_asked_for_writes_nothing(tmp_path: Path) -> None:
    found = write(tmp_path)
    assert (found.made, found.said, list(tmp_path.iterdir())) == ([], {}, [])


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("field", ["field.nii.gz"]),
        ("warped_image", ["warped_image.nii.gz"]),
        ("inverse", ["inverse.h5", "inverse_field.nii.gz"]),
        ("ras", ["field_ras.nii.gz"]),
        ("fsl", ["field_fsl.nii.gz"]),
        ("learn2reg", ["disp_0012_0007.nii.gz"]),
    ],
)
def test_each_export_writes_its_files_and_names_them(
    tmp_path: Path, asked: str, names: list[str]
) -> None:
    found = write(tmp_path, **{asked: True})
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [path.name for path in found.made] == names


def test_itk_takes_both_fields_for_the_same_map(tmp_path: Path) -> None:
    found = write(tmp_path, field=True, ras=True)
    np.testing.assert_allclose(
        found.displacement("field.nii.gz"),
        found.displacement("field_ras.nii.gz"),
        rtol=0,
        atol=1e-4,
    )
    assert np.abs(found.displacement("field.nii.gz")).max() > 5


def test_learn2regs_displacement_warps_voxels_as_the_image_is_warped(tmp_path: Path) -> None:
    found = write(tmp_path, learn2reg=True, warped_image=True)
    moves = nib.Nifti1Image.from_filename(tmp_path / "disp_0012_0007.nii.gz").get_fdata()
    start = np.stack(np.meshgrid(*map(np.arange, volume_shape(FIXED)), indexing="ij"))
    places = start + np.moveaxis(moves, 3, 0)
    expected = ndimage.map_coordinates(MOVING.array[0], places, order=1, mode="nearest")
    warped = volumes.read_image(found.folder / "warped_image.nii.gz").array[0]
    np.testing.assert_allclose(warped, expected, rtol=0, atol=0.05)


def test_the_inverse_transform_brings_mapped_points_back_in_itk(tmp_path: Path) -> None:
    found = write(tmp_path, inverse=True)
    points = geometry.apply(FIXED.affine, voxels(FIXED).astype(np.float64))
    mapped = transform().map_points(points)
    back = sitk.ReadTransform(str(tmp_path / "inverse.h5"))
    lps = np.array([-1.0, -1.0, 1.0])
    returned = np.array([back.TransformPoint((point * lps).tolist()) for point in mapped]) * lps
    assert np.abs(returned - points).max() < 0.15
    assert 0 <= found.said["inverse_residual_mm"] < 0.15


def test_the_inverse_field_lies_on_the_moving_grid_and_leads_back(tmp_path: Path) -> None:
    found = write(tmp_path, inverse=True)
    moves = found.displacement("inverse_field.nii.gz") * [-1, -1, 1]
    assert moves.shape[:3] == volume_shape(MOVING)
    chosen = voxels(MOVING)
    starts = geometry.apply(MOVING.affine, chosen.astype(np.float64))
    ends = starts + np.array([moves[tuple(voxel)] for voxel in chosen])
    np.testing.assert_allclose(transform().map_points(ends), starts, rtol=0, atol=0.01)


def test_members_of_an_ensemble_are_written_beside_their_mean(tmp_path: Path) -> None:
    mean = transform()
    made = exports.write_transforms(
        tmp_path, mean, [("fold-0", mean.field + 1), ("fold-1", mean.field - 1)]
    )
    names = [path.relative_to(tmp_path).as_posix() for path in made]
    assert names == ["transform.h5", "fold-0/transform.h5", "fold-1/transform.h5"]
    read = transforms.read_transform(tmp_path / "fold-1/transform.h5")
    torch.testing.assert_close(read.field, mean.field - 1, rtol=0, atol=1e-5)


def test_what_was_not_made_again_is_removed_and_nothing_else(tmp_path: Path) -> None:
    first = write(tmp_path, **dict.fromkeys(RegistrationExport.model_fields, True))
    field = transform().field
    for names in (("fold-0", "fold-1"), ("unet/fold-0", "unet-seed1/fold-0")):
        exports.write_transforms(tmp_path, transform(), [(name, field) for name in names])
    (tmp_path / "notes.txt").touch()
    kept = [path for path in first.made if path.name == "field.nii.gz"]
    exports.remove_others(tmp_path, kept)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["field.nii.gz", "notes.txt"]


def test_ids_that_are_no_numbers_name_learn2regs_file_as_they_are() -> None:
    assert exports.learn2reg_name("mr-a", "01234567") == "disp_01234567_mr-a.nii.gz"
