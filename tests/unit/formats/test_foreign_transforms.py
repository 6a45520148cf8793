"""Transforms of other programs: known by their marks, read where certain,
else refused with a way out.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from builders.stored_pairs import itk_points, voxel_points
from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats import itk_transforms, transforms
from tenter.intake import integrity

LTA = (
    "# transform file x.lta\n# created by mri_robust_register\n\ntype      = 1\nnxforms   = 1\n"
    "mean      = 0.0000 0.0000 0.0000\nsigma     = 10000.0000\n"
    "1 4 4\n1 0 0 4\n0 1 0 5\n0 0 1 6\n0 0 0 1\n"
)
REGISTER = (
    "subject\n1.0\n1.5\n0.15\n1 0 0 4\n0 1 0 5\n0 0 1 6\n0 0 0 1\nround\n"  # tkregister2 ends it so
)
FLIRT = "1  0  0  4  \n0  1  0  5  \n0  0  1  6  \n0  0  0  1  \n"
FOREIGN: dict[str, tuple[str, bytes, str]] = {
    "FLIRT": ("a.mat", FLIRT.encode(), "plain matrix.*c3d_affine_tool.*a.mat -fsl2ras"),
    "NiftyReg's affine": ("a.txt", FLIRT.encode(), "plain matrix.*NiftyReg"),
    "three rows": ("a.txt", b"1 0 0 4\n0 1 0 5\n0 0 1 6\n", "plain matrix"),
    "one row": ("a.aff12.1D", b"1 0 0 4 0 1 0 5 0 0 1 6\n", "plain matrix"),
    "AFNI": (
        "a.aff12.1D",
        b"# 3dAllineate matrices (DICOM-to-DICOM, row-by-row):\n1 0 0 4 0 1 0 5 0 0 1 6\n",
        "AFNI.*Parameters are a b c e f g i j k d h l",
    ),
    "LTA": ("a.lta", LTA.encode(), "FreeSurfer .*lta.*lta_convert --inlta a.lta --outitk"),
    "LTA named otherwise": ("a.txt", LTA.encode(), "FreeSurfer"),
    "register.dat": (
        "register.dat",
        REGISTER.encode(),
        "register.dat of FreeSurfer.*--inreg register.dat",
    ),
    "MNI": (
        "a.xfm",
        (
            b"MNI Transform File\nTransform_Type = Linear;\n"
            b"Linear_Transform =\n1 0 0 4\n0 1 0 5\n0 0 1 6;\n"
        ),
        "MNI transform.*lta_convert --inmni a.xfm",
    ),
    "m3z": ("a.m3z", b"\x1f\x8b\x08\x00", "warp of FreeSurfer.*mri_warp_convert --inm3z a.m3z"),
    "SPM": ("a_sn.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64\0\0", "MATLAB file .SPM"),
    "NumPy": ("disp.npy", b"\x93NUMPY\x01\x00", "NumPy array"),
    "NumPy archive": ("disp.npz", b"PK\x03\x04\x00", "NumPy or zip archive"),
    "DICOM": ("reg.dcm", bytes(128) + b"DICM\0", "DICOM file.*3D Slicer"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_another_programs_transform_is_refused_wherever_it_is_named(
    case: str, tmp_path: Path
) -> None:
    name, content, expected = FOREIGN[case]
    (tmp_path / name).write_bytes(content)
    for read in (transforms.read_transform, itk_transforms.read_alignment):
        with pytest.raises(DataError, match=rf"{name}: .*{expected}"):
            read(tmp_path / name)


def test_long_numbers_are_looked_at_quickly(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1" * 60_000 + " x")
    with pytest.raises(DataError, match="is not an ITK transform"):
        transforms.read_transform(tmp_path / "a.txt")


ELASTIX = """(Transform "{kind}")
(NumberOfParameters 6)
(TransformParameters {parameters})
(InitialTransformParameterFileName "{initial}")
(HowToCombineTransforms "{combined}")

(FixedImageDimension 3)
(MovingImageDimension 3)
(Direction {direction})
(UseDirectionCosines "{directions}")
(CenterOfRotationPoint 1.0 2.0 3.0)
(ComputeZYX "{zyx}")
"""
USUAL = {
    "kind": "EulerTransform",
    "parameters": "0.1 -0.2 0.3 4 5 6",
    "initial": "NoInitialTransform",
    "combined": "Compose",
    "direction": "0 1 0 -1 0 0 0 0 1",
    "directions": "true",
    "zyx": "false",
}


def elastix(path: Path, **changes: str) -> Path:
    path.write_text(ELASTIX.format(**USUAL | changes))
    return path


# What transformix of itk-elastix 0.25.4 makes of the points (1, 2, 3), (4, -5, 6)
# and (-7, 8, 9.5), LPS.
STARTS = np.array([[1, 2, 3], [4, -5, 6], [-7, 8, 9.5]])
BY_TRANSFORMIX: dict[tuple[str, str, str], list[tuple[float, ...]]] = {
    ("TranslationTransform", "1 2 3", "false"): [(2, 4, 6), (5, -3, 9), (-6, 10, 12.5)],
    ("EulerTransform", "0.1 -0.2 0.3 4 5 6", "false"): [
        (5, 7, 9), (9.402127, 0.701545, 11.819708), (-5.347229, 9.548734, 14.356193)],
    ("EulerTransform", "0.1 -0.2 0.3 4 5 6", "true"): [
        (5, 7, 9), (9.521788, 0.794595, 11.836615), (-5.404041, 9.351531, 14.336313)],
    ("SimilarityTransform", "0.05 -0.1 0.15 4 5 6 1.1", "false"): [
        (5, 7, 9), (9.832868, 0.201347, 12.389942), (-6.536544, 9.847735, 14.560671)],
    ("AffineTransform", "1 0.1 0 0 0.9 0.2 0.05 0 1.1 4 5 6", "false"): [
        (5, 7, 9), (7.3, 1.3, 12.45), (-2.4, 13.7, 15.75)],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "parameters", "zyx"), BY_TRANSFORMIX)
def test_linear_transforms_of_elastix_map_as_transformix(
    kind: str, parameters: str, zyx: str, tmp_path: Path
) -> None:
    path = elastix(
        tmp_path / "TransformParameters.0.txt", kind=kind, parameters=parameters, zyx=zyx
    )
    mapped = transforms.read_transform(path).map_points(STARTS * [-1, -1, 1]) * [-1, -1, 1]
    np.testing.assert_allclose(mapped, BY_TRANSFORMIX[kind, parameters, zyx], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(
        itk_transforms.read_alignment(path), transforms.read_transform(path).alignment
    )


@pytest.mark.parametrize(
    "written", ["TransformParameters.0.txt", "/elsewhere/out/TransformParameters.0.txt"]
)
def test_a_chain_of_elastix_applies_the_initial_transform_first(
    written: str, tmp_path: Path
) -> None:
    elastix(tmp_path / "TransformParameters.0.txt")
    path = elastix(
        tmp_path / "TransformParameters.1.txt",
        initial=written, kind="AffineTransform", parameters="1 0.1 0 0 0.9 0.2 0.05 0 1.1 4 5 6",
    )  # fmt: skip
    centre, first = (
        (1.0, 2.0, 3.0),
        sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, -0.2, 0.3, (4.0, 5.0, 6.0)),
    )
    second = sitk.AffineTransform([1, 0.1, 0, 0, 0.9, 0.2, 0.05, 0, 1.1], (4.0, 5.0, 6.0), centre)
    points = voxel_points(np.eye(4), (50, 50, 50))
    expected = itk_points(sitk.CompositeTransform([second, first]), points)
    np.testing.assert_allclose(
        transforms.read_transform(path).map_points(points), expected, atol=1e-9
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"kind": "BSplineTransform"},
            r"not linear \(BSplineTransform\).*transformix -def all -tp e\.txt",
        ),
        ({"kind": "SplineKernelTransform"}, "not linear"),
        ({"initial": "gone.txt"}, r"needs gone\.txt, its initial transform"),
        ({"initial": "e.txt"}, "names more than 20 files"),
        ({"initial": "e.txt", "combined": "Add"}, "is added to another transform"),
        ({"directions": "false"}, "does not use the directions of its images"),
        ({"parameters": "1 2 3"}, "has 3 words in TransformParameters, not 6 numbers"),
        ({"parameters": "1 2 3 4 5 x"}, "has 6 words in TransformParameters"),
    ],
)
def test_what_is_uncertain_of_elastix_is_refused(
    changes: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"e\.txt: .*{complaint}"):
        transforms.read_transform(elastix(tmp_path / "e.txt", **changes))


def test_directions_do_not_matter_to_upright_images(tmp_path: Path) -> None:
    path = elastix(tmp_path / "e.txt", directions="false", direction="1 0 0 0 1 0 0 0 1")
    assert itk_transforms.read_alignment(path).shape == (4, 4)


def field(
    path: Path, code: int, name: str = "", p1: float = 0, moves: tuple[float, ...] = (1, 2, 3)
) -> Path:
    """A field that moves every voxel alike, of five axes."""
    values = np.broadcast_to(np.array(moves, np.float32), (4, 5, 6, 1, 3))
    image = nib.nifti1.Nifti1Image(np.ascontiguousarray(values), np.diag([2.0, 2.0, 2.0, 1.0]))
    image.header.set_intent(code, name=name, allow_unknown=True)
    image.header["intent_p1"] = p1
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("code", "name", "p1", "expected"),
    [
        (1007, "", 0, (-1, -2, 3)),  # ITK, ANTs: LPS
        (1006, "", 0, (1, 2, 3)),  # NIfTI: RAS
        (1007, "NREG_TRANS", 1, (1, 2, 3)),  # NiftyReg's displacements: RAS
    ],
)
def test_a_field_is_read_in_its_programs_axes(
    code: int, name: str, p1: float, expected: tuple[float, ...], tmp_path: Path
) -> None:
    read = transforms.read_transform(field(tmp_path / "field.nii.gz", code, name, p1))
    np.testing.assert_allclose(read.map_points(np.ones((1, 3))), [np.add(expected, 1)], atol=1e-6)


@pytest.mark.parametrize(
    ("code", "name", "p1", "complaint"),
    [
        *(
            (code, "", 0, "FSL.*wb_command -convert-warpfield")
            for code in (2006, 2007, 2008, 2009, 2016, 2018)
        ),
        *(
            (1007, "NREG_TRANS", p1, "NiftyReg.*reg_transform -ref FIXED -disp")
            for p1 in (0, 2, 3, 4, 5)
        ),
        (1007, "NREG_CPP_FILE", 1, "NiftyReg"),
        (1007, "Mapping", 0, "deformation of SPM, which holds positions.*subtract"),
        (1007, "other", 0, "named 'other' in its header"),
        (0, "", 0, "not a displacement field in mm"),
        (1005, "", 0, "not a displacement field in mm"),
    ],
)
def test_a_field_of_another_convention_is_refused(
    code: int, name: str, p1: float, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(
        DataError, match=rf"field\.nii\.gz: .*{complaint}.*or give transform\.h5|{complaint}"
    ):
        transforms.read_transform(field(tmp_path / "field.nii.gz", code, name, p1))


@pytest.mark.parametrize("suffix", ["mha", "nrrd"])
def test_a_colour_image_is_no_field(suffix: str, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkVectorUInt8, 3), str(tmp_path / f"rgb.{suffix}"))
    with pytest.raises(DataError, match=r"holds uint8 values .colours"):
        transforms.read_transform(tmp_path / f"rgb.{suffix}")


def test_a_field_is_no_alignment(tmp_path: Path) -> None:
    path = field(tmp_path / "1Warp.nii.gz", 1007)
    with pytest.raises(
        DataError, match=r"1Warp\.nii\.gz: is a displacement field, which is not affine"
    ):
        itk_transforms.read_alignment(path)


@pytest.mark.parametrize("case", ["FLIRT", "LTA", "MNI", "register.dat", "m3z"])
def test_the_check_of_a_manifest_keeps_the_way_out(case: str, tmp_path: Path) -> None:
    name, content, expected = FOREIGN[case]
    (tmp_path / name).write_bytes(content)
    (fault,) = integrity.examine(tmp_path / name, "transform", LabelFiles()).faults
    assert fault.fix.startswith("convert it")
    assert expected.split(".*")[0].replace(" .", " (") in fault.message.replace(")", "(")
