"""Transforms of other programs map as SimpleITK applies them, whatever the study's alignment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tenter.baselines import external, identity
from tenter.cases.case_files import Grid, PreparedImages
from tenter.config import External, Identity
from tenter.formats import transforms
from tenter.records import ImagePair
from tenter.spatial import geometry

PAIR = ImagePair(id="p1", patients=("a",), moving=Path("m.nii"), fixed=Path("f.nii"))
ROTATION = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])

PLACED = np.array([[0.8, -0.6, 0, 8.0], [0.6, 0.8, 0, 0], [0, 0, 1, -4.0], [0, 0, 0, 1.0]])


def images(alignment: np.ndarray) -> PreparedImages:
    """A case grid of 4 mm inside an oblique fixed image of 2 mm that is larger."""
    fixed = geometry.translation((-20.0, -25.0, 5.0)) @ ROTATION @ np.diag([2.0, 2.0, 2.0, 1.0])
    case = fixed @ geometry.translation((4.0, 4.0, 4.0)) @ np.diag([2.0, 2.0, 2.0, 1.0])
    voxels = np.zeros((1, 6, 5, 4), dtype=np.float32)
    grid = Grid((24, 20, 16), fixed)
    return PreparedImages(
        affine=case,
        alignment=alignment,
        moving=voxels,
        fixed=voxels,
        moving_source=grid,
        fixed_source=grid,
    )


def affine(scale: float = 1.1, shear: float = 0.2) -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([scale, shear, 0.0, 0.1, 0.9, 0.0, 0.0, -0.1, 1.0])
    transform.SetTranslation([5.0, -7.0, 3.0])
    return transform


def field_image() -> sitk.Image:
    """Displacements on a grid of 3 mm around the fixed image, zero towards its edges."""
    random = np.random.default_rng(0)
    array = np.zeros((26, 30, 30, 3))
    array[3:-3, 3:-3, 3:-3] = random.normal(scale=2.0, size=(20, 24, 24, 3))
    image = sitk.GetImageFromArray(array, isVector=True)
    image.SetSpacing([3.0, 3.0, 3.0])
    image.SetOrigin([-45.0, -30.0, -10.0])
    return image


def field() -> sitk.Transform:
    return sitk.DisplacementFieldTransform(field_image())


def composite() -> sitk.Transform:
    """A field between two sheared maps."""
    return sitk.CompositeTransform([affine(), field(), affine(0.95, -0.1)])


MAPS: dict[str, tuple[Callable[[], sitk.Transform], str]] = {
    "affine": (affine, "{pair}.txt"),
    "rigid": (lambda: sitk.Euler3DTransform((1, 2, 3), 0.1, 0.2, 0.3, (4, 5, 6)), "{pair}/a.tfm"),
    "field": (field, "{pair}.h5"),
    "composite": (composite, "{pair}.h5"),
}


def fixed_points(prepared: PreparedImages) -> np.ndarray:
    """Points anywhere in the fixed image, its corners among them, RAS mm."""
    random = np.random.default_rng(1)
    size = np.array(prepared.fixed_source.shape) - 1
    voxels = np.concatenate([random.uniform(size=(200, 3)) * size, [[0, 0, 0], size]])
    return geometry.apply(prepared.fixed_source.affine, voxels)


def mapped(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Moving points by SimpleITK, RAS mm."""
    turn = np.array([-1.0, -1.0, 1.0])
    ends = np.array([transform.TransformPoint((point * turn).tolist()) for point in points])
    return np.asarray(ends * turn)


@pytest.mark.parametrize("alignment", [np.eye(4), PLACED])
@pytest.mark.parametrize("name", MAPS)
def test_the_map_is_the_file_and_so_is_what_is_written(
    tmp_path: Path, name: str, alignment: np.ndarray
) -> None:
    make, pattern = MAPS[name]
    path = tmp_path / pattern.replace("{pair}", PAIR.id)
    path.parent.mkdir(exist_ok=True)
    sitk.WriteTransform(make(), str(path))
    prepared = images(alignment)
    result = external.register(PAIR, prepared, External(transform=tmp_path / pattern))
    points = fixed_points(prepared)
    expected = mapped(make(), points)
    assert np.abs(result.map_points(points) - expected).max() < 1e-3
    assert np.array_equal(result.alignment, alignment)
    transforms.write_transform(tmp_path / "written.h5", result)
    written = sitk.ReadTransform(str(tmp_path / "written.h5"))
    assert np.abs(mapped(written, points) - expected).max() < 1e-3


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_a_field_may_be_an_image(tmp_path: Path, suffix: str) -> None:
    sitk.WriteImage(field_image(), str(tmp_path / f"p1{suffix}"))
    prepared = images(ROTATION)
    settings = External(transform=tmp_path / f"{{pair}}{suffix}")
    points = fixed_points(prepared)
    result = external.register(PAIR, prepared, settings)
    assert np.abs(result.map_points(points) - mapped(field(), points)).max() < 1e-3


def test_the_identity_is_the_alignment() -> None:
    prepared = images(ROTATION)
    points = fixed_points(prepared)
    result = identity.register(PAIR, prepared, Identity())
    assert np.allclose(result.map_points(points), geometry.apply(ROTATION, points), atol=1e-9)
