"""Units of length: stated ones are converted to mm, and unstated ones must be plausible as mm."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.intake import integrity

NOISE = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
CODES = {None: 0, "m": 1, "mm": 2, "um": 3}


def nifti(
    path: Path, spacing: tuple[float, float, float], unit: str | None, version: int = 1
) -> Path:
    matrix = np.diag([*spacing, 1.0])
    image = nib.Nifti1Image(NOISE, matrix) if version == 1 else nib.Nifti2Image(NOISE, matrix)
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    image.header["xyzt_units"] = CODES[unit]
    nib.save(image, path)
    return path


def meta(path: Path, spacing: tuple[float, float, float], unit: str | None) -> Path:
    stated = f"DistanceUnits = {unit}\n" if unit else ""
    path.write_bytes(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\n"
        f"BinaryDataByteOrderMSB = False\n{stated}"
        "TransformMatrix = -1 0 0 0 -1 0 0 0 1\nOffset = 0 0 0\n"
        f"ElementSpacing = {' '.join(map(str, spacing))}\n"
        "DimSize = 6 5 4\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n".encode()
        + NOISE.tobytes(order="F")
    )
    return path


def nrrd(path: Path, spacing: tuple[float, float, float], unit: str | None) -> Path:
    x, y, z = spacing
    stated = f'space units: "{unit}" "{unit}" "{unit}"\n' if unit else ""
    path.write_bytes(
        "NRRD0005\ntype: float\nendian: little\nencoding: raw\n"
        "dimension: 3\nsizes: 6 5 4\nspace: RAS\n"
        f"space directions: ({x},0,0) (0,{y},0) (0,0,{z})\n"
        f"space origin: (0,0,0)\n{stated}\n".encode()
        + NOISE.tobytes(order="F")
    )
    return path


WRITERS = {"a.nii": nifti, "a.nii.gz": nifti, "a.mha": meta, "a.nrrd": nrrd}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("spacing", "unit"),
    [
        ((0.0007, 0.0011, 0.005), "m"),
        ((700.0, 1100.0, 5000.0), "um"),
        ((0.7, 1.1, 5.0), "mm"),
        ((0.7, 1.1, 5.0), None),
    ],
)
def test_the_stated_unit_is_converted(
    tmp_path: Path, name: str, spacing: tuple[float, float, float], unit: str | None
) -> None:
    affine = volumes.read_image(WRITERS[name](tmp_path / name, spacing, unit)).affine
    assert np.allclose(affine, np.diag([0.7, 1.1, 5.0, 1.0]), rtol=1e-6)


@pytest.mark.parametrize("word", ["micron", "microns", "micrometers", "\u00b5m", "\u03bcm", "UM"])
def test_micrometres_are_known_by_many_names(tmp_path: Path, word: str) -> None:
    affine = volumes.header(nrrd(tmp_path / "a.nrrd", (700.0, 1100.0, 5000.0), word)).affine
    assert np.allclose(affine, np.diag([0.7, 1.1, 5.0, 1.0]))


def test_nifti_2_states_its_unit_likewise(tmp_path: Path) -> None:
    affine = volumes.header(
        nifti(tmp_path / "a.nii", (0.0007, 0.0011, 0.005), "m", version=2)
    ).affine
    assert np.allclose(affine, np.diag([0.7, 1.1, 5.0, 1.0]))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("spacing", "guess"),
    [
        ((0.001, 0.001, 0.001), "metres"),
        ((0.0005, 0.0005, 0.01), "metres"),
        ((0.003, 0.003, 0.019), "metres"),
        ((500.0, 500.0, 1000.0), "micrometres"),
        ((51.0, 51.0, 51.0), "micrometres"),
    ],
)
def test_an_implausible_size_without_a_unit_is_refused_with_the_size(
    tmp_path: Path, name: str, spacing: tuple[float, float, float], guess: str
) -> None:
    path = WRITERS[name](tmp_path / name, spacing, None)
    sizes = " x ".join(f"{size:.4g}" for size in spacing)
    with pytest.raises(
        DataError, match=f"{name}: has voxels of {sizes} mm.*no unit: they seem to be {guess}"
    ):
        volumes.header(path)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("spacing", [(0.001, 0.001, 0.001), (60.0, 60.0, 60.0)])
def test_stating_mm_as_the_message_says_is_enough(
    tmp_path: Path, name: str, spacing: tuple[float, float, float]
) -> None:
    path = WRITERS[name](tmp_path / name, spacing, "mm")
    found = integrity.examine(path, "image", LabelFiles())
    assert [problem.severity for problem in found.faults] == ["WARNING"]
    assert f"voxels of {spacing[0]:g} x" in found.faults[0].message


@pytest.mark.parametrize("name", WRITERS)
def test_micrometres_that_are_stated_may_be_few(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, (2.0, 2.0, 2.0), "um")
    assert np.allclose(volumes.header(path).affine, np.diag([0.002, 0.002, 0.002, 1]))


@pytest.mark.parametrize("name", WRITERS)
def test_metres_stated_of_numbers_in_mm_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="700 x 1100 x 5000 mm, as its header states metres"):
        volumes.header(WRITERS[name](tmp_path / name, (0.7, 1.1, 5.0), "m"))


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("word", ["inch", "pixel", "parsec", "mmm", "1"])
def test_an_unknown_unit_is_refused(tmp_path: Path, name: str, word: str) -> None:
    with pytest.raises(DataError, match=f"'{word}'.*not a known unit"):
        volumes.header(WRITERS[name](tmp_path / name, (1.0, 1.0, 1.0), word))
