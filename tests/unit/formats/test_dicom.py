from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from builders import dicoms
from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats import dicom, volumes

SHAPE = (7, 6, 5)
ARRAY = np.random.default_rng(0).integers(-1000, 3000, SHAPE).astype(np.int16)


def world(storage: str = "LPS", degrees: float = 0.0) -> np.ndarray:
    """An affine whose axes point as `storage` says, then turned about an oblique axis."""
    signs = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    axes = np.zeros((3, 3))
    for column, letter in enumerate(storage):
        axes[signs[letter][0], column] = signs[letter][1]
    axis = np.array([1.0, 2, 3]) / np.sqrt(14)
    cross = np.cross(np.eye(3), -axis)
    turn = (
        np.eye(3)
        + np.sin(np.radians(degrees)) * cross
        + (1 - np.cos(np.radians(degrees))) * cross @ cross
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes * [0.8, 1.1, 2.5]
    affine[:3, 3] = (10, -20, 30)
    return affine


PLAIN = world()


def series(folder: Path, affine: np.ndarray = PLAIN, **choices: object) -> Path:
    series = folder / "series"
    return dicoms.write_series(series, ARRAY, affine, **choices)  # type: ignore[arg-type]


def changing(index: int, **elements: object) -> dicoms.Change:
    """Alter one slice's elements, given as `t00280010=("US", 5)`; None takes one away."""

    def change(at: int, own: dicoms.Elements) -> None:
        for name, value in elements.items():
            if at == index and value is None:
                del own[int(name[1:], 16)]
            elif at == index:
                own[int(name[1:], 16)] = value  # type: ignore[assignment] # as a caller gives it

    return change


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        volumes.header(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert dicoms.PATIENT not in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("degrees", [0.0, 25.0])
@pytest.mark.parametrize("storage", ["LPS", "RAS", "SPL", "PIL"])
def test_a_series_is_the_nifti_of_the_same_volume(
    tmp_path: Path, storage: str, degrees: float
) -> None:
    affine = world(storage, degrees)
    folder = series(tmp_path, affine)
    nib.save(nib.Nifti1Image(ARRAY, affine), tmp_path / "same.nii")
    read, same = volumes.read_image(folder), volumes.read_image(tmp_path / "same.nii")
    flipped = np.linalg.det(affine[:3, :3]) < 0
    # Slices are counted along the right-handed normal, however they were written.
    turned = same.array[..., ::-1] if flipped else same.array
    assert np.array_equal(read.array, turned)
    origin = affine @ [0, 0, SHAPE[2] - 1, 1] if flipped else affine[:, 3]
    expected = np.column_stack([affine[:, :2], -affine[:, 2] if flipped else affine[:, 2], origin])
    assert np.allclose(read.affine, expected, atol=1e-5)


def test_gdcm_reads_the_same_series_alike(tmp_path: Path) -> None:
    folder = series(tmp_path, world("LPS", 25))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    theirs = reader.Execute()
    ours = volumes.read_image(folder)
    assert np.array_equal(sitk.GetArrayFromImage(theirs).T, ours.array[0])
    place = np.array(theirs.TransformIndexToPhysicalPoint((3, 1, 4)))
    assert np.allclose((ours.affine @ [3, 1, 4, 1])[:3], place * [-1, -1, 1], atol=1e-6)


def test_a_series_that_simpleitk_wrote_is_read(tmp_path: Path) -> None:
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for index in range(SHAPE[2]):
        plane = sitk.GetImageFromArray(ARRAY[:, :, index].T)
        plane.SetSpacing((0.8, 1.1))
        position = f"-10\\20\\{30 + 2.5 * index}"
        said = {
            "0020|0032": position,
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|000e": "2.25.7",
            "0008|0060": "MR",
        }
        for tag, value in said.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(tmp_path / f"{index}.dcm"))
        writer.Execute(plane)
    read = volumes.read_image(tmp_path)
    assert np.array_equal(read.array[0], ARRAY)
    assert np.allclose(read.affine, PLAIN, atol=1e-9)


@pytest.mark.parametrize("syntax", [dicoms.IMPLICIT, dicoms.EXPLICIT, dicoms.BIG_ENDIAN])
def test_each_plain_transfer_syntax_is_read(tmp_path: Path, syntax: str) -> None:
    assert np.array_equal(volumes.read_image(series(tmp_path, syntax=syntax)).array[0], ARRAY)


def test_values_are_scaled(tmp_path: Path) -> None:
    def scale(_: int, elements: dicoms.Elements) -> None:
        elements |= {dicoms.SLOPE: ("DS", "0.25"), dicoms.INTERCEPT: ("DS", "-1024")}

    assert np.array_equal(
        volumes.read_image(series(tmp_path, change=scale)).array[0], ARRAY * 0.25 - 1024
    )


def test_each_slice_has_its_own_scale(tmp_path: Path) -> None:
    def scale(index: int, elements: dicoms.Elements) -> None:
        elements |= {dicoms.SLOPE: ("DS", f"{index + 0.5}"), dicoms.INTERCEPT: ("DS", str(-index))}

    index = np.arange(SHAPE[2])
    expected = (ARRAY * (index + 0.5) - index).astype(np.float32)
    assert np.array_equal(volumes.read_image(series(tmp_path, change=scale)).array[0], expected)


def test_bits_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    stored = np.random.default_rng(1).integers(-2048, 2048, SHAPE)
    overlaid = ((stored & 0xFFF) << 2 | 0x4001).astype(np.uint16)

    def twelve(_: int, elements: dicoms.Elements) -> None:
        elements |= {dicoms.BITS: ("US", 12), dicoms.HIGH: ("US", 13), dicoms.SIGNED: ("US", 1)}

    folder = dicoms.write_series(tmp_path / "series", overlaid, PLAIN, twelve)
    assert np.array_equal(volumes.read_image(folder).array[0], stored)


def test_the_header_says_shape_place_and_stored_type(tmp_path: Path) -> None:
    head = volumes.header(series(tmp_path))
    assert (head.shape, head.channels, head.dtype) == (SHAPE, 1, np.dtype(np.int16))


def test_positions_rounded_by_the_scanner_are_accepted(tmp_path: Path) -> None:
    def rounded(index: int, elements: dicoms.Elements) -> None:
        x, y, z = (float(word) for word in str(elements[dicoms.POSITION][1]).split("\\"))
        elements[dicoms.POSITION] = ("DS", f"{x:.2f}\\{y:.2f}\\{z + 0.004 * (index % 2):.3f}")

    affine = volumes.header(series(tmp_path, world("LPS", 25), change=rounded)).affine
    assert np.allclose(affine, world("LPS", 25), atol=0.01)


# ---- between slices


def shifted(index: int, by: tuple[float, float, float]) -> dicoms.Change:
    place = np.array([-10.0, 20, 30 + 2.5 * index]) + by
    return changing(index, t00200032=("DS", dicoms.numbers(place)))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (changing(2, t0020000E=("UI", "2.25.8")), "2 series (4 like 000.dcm, 1 like 014.dcm)"),
        (
            changing(2, t00200037=("DS", "0\\1\\0\\-1\\0\\0")),
            "several orientations (000.dcm, 014.dcm)",
        ),
        (changing(2, t00280030=("DS", "1.1\\0.81")), "several pixel spacings (000.dcm, 014.dcm)"),
        (changing(2, t00280004=("CS", "MONOCHROME1")), "2 grey scales"),
        (
            shifted(2, (0, 0, 0.4)),
            "has uneven slices: 2.9 mm between 007.dcm and 014.dcm, 2.5 mm between most",
        ),
        (shifted(4, (0, 0, 2.5)), "lacks slices: 5 mm between 021.dcm and 028.dcm"),
        (shifted(2, (0, 0, -2.5)), "two slices at one place (007.dcm, 014.dcm)"),
        (shifted(4, (0.5, 0, 0)), "sheared"),
    ],
)
def test_slices_that_make_up_no_volume_are_refused(
    tmp_path: Path, change: dicoms.Change, complaint: str
) -> None:
    assert complaint in refused(series(tmp_path, change=change))


def test_a_missing_slice_is_told_with_its_neighbours(tmp_path: Path) -> None:
    folder = series(tmp_path)
    (folder / dicoms.name_of(1)).unlink()
    assert "lacks slices: 5 mm between 000.dcm and 014.dcm, 2.5 mm between most" in refused(folder)


def test_slices_of_other_sizes_are_refused(tmp_path: Path) -> None:
    def smaller(index: int, elements: dicoms.Elements) -> None:
        if index == 3:
            elements |= {dicoms.ROWS: ("US", 3), dicoms.PIXELS: ("OW", bytes(2 * 3 * 7))}

    assert "2 sizes (4 like 000.dcm, 1 like 021.dcm)" in refused(series(tmp_path, change=smaller))


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path: Path) -> None:
    def tilted(index: int, elements: dicoms.Elements) -> None:
        elements[dicoms.POSITION] = (
            "DS",
            f"-10\\{20 + 2.5 * np.tan(np.radians(12)) * index:.6f}\\{30 + 2.5 * index}",
        )

    assert "gantry tilt, 12 degrees" in refused(series(tmp_path, change=tilted))


def test_two_times_in_one_series_are_refused(tmp_path: Path) -> None:
    folder = series(tmp_path)
    dicoms.write_series(tmp_path / "later", ARRAY + 1, PLAIN)
    for path in (tmp_path / "later").iterdir():
        path.rename(folder / f"later-{path.name}")
    assert "two slices at one place" in refused(folder)


def test_a_single_slice_lies_where_it_says_one_millimetre_thick_or_as_it_says(
    tmp_path: Path,
) -> None:
    folder = dicoms.write_series(tmp_path / "one", ARRAY[..., :1], PLAIN)
    read, whole = volumes.read_image(folder), volumes.read_image(series(tmp_path))
    assert np.array_equal(read.array, whole.array[..., :1])
    assert np.allclose(read.affine[:3, [0, 1, 3]], whole.affine[:3, [0, 1, 3]])
    normal = whole.affine[:3, 2] / np.linalg.norm(whole.affine[:3, 2])
    assert np.allclose(read.affine[:3, 2], normal)
    thick = changing(0, t00180050=("DS", "4.5"))
    folder = dicoms.write_series(tmp_path / "thick", ARRAY[..., :1], PLAIN, change=thick)
    assert np.allclose(volumes.header(folder).affine[:3, 2], 4.5 * normal)


# ---- files


@pytest.mark.parametrize("cut", [1, 50, 100, 400])
def test_a_cut_slice_is_refused(tmp_path: Path, cut: int) -> None:
    folder = series(tmp_path)
    path = folder / dicoms.name_of(2)
    os.truncate(path, path.stat().st_size - cut)
    assert f"{path.name} is truncated" in refused(folder)


def spoilers() -> dict[str, tuple[Callable[[Path], object], str]]:
    report = dicoms.pixel_elements(ARRAY.T)
    del report[dicoms.PIXELS]
    return {
        "text": (
            lambda folder: (folder / "notes.txt").write_text("SECRET"),
            "notes.txt is not a DICOM file",
        ),
        "empty": (lambda folder: (folder / "x.dcm").write_bytes(b""), "x.dcm is empty"),
        "report": (
            lambda folder: dicoms.write(folder / "sr.dcm", report),
            "sr.dcm holds no pixels",
        ),
        "folder": (lambda folder: (folder / "more").mkdir(), "holds folders (more)"),
        "pipe": (lambda folder: os.mkfifo(folder / "pipe"), "pipe is not a regular file"),
        "link": (lambda folder: (folder / "link").symlink_to("nowhere"), "link is a broken link"),
    }


@pytest.mark.parametrize("spoiler", spoilers())
def test_what_is_no_slice_is_refused_by_name(tmp_path: Path, spoiler: str) -> None:
    spoil, complaint = spoilers()[spoiler]
    folder = series(tmp_path)
    spoil(folder)
    assert complaint in refused(folder)


def test_every_bad_file_is_counted_and_the_first_are_named(tmp_path: Path) -> None:
    folder = series(tmp_path)
    for index in range(4):
        path = folder / dicoms.name_of(index)
        os.truncate(path, path.stat().st_size - 10)
    (folder / "notes.txt").write_text("x")
    message = refused(folder)
    assert "5 of 6 files cannot be used as slices: 000.dcm is truncated" in message
    assert "and 2 more" in message


@pytest.mark.parametrize("name", ["DICOMDIR", ".DS_Store", "._000.dcm"])
def test_directories_and_hidden_files_do_not_count(tmp_path: Path, name: str) -> None:
    folder = series(tmp_path)
    (folder / name).write_bytes(b"whatever")
    assert volumes.header(folder).shape == SHAPE
    assert len(volumes.parts(folder)) == SHAPE[2]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (changing(1, t00200032=None), "does not say where it lies"),
        (changing(1, t00280030=None), "does not say where it lies"),
        (changing(1, t00200032=("DS", "1\\2")), "cannot be read"),
        (changing(1, t00200032=("DS", "1\\2\\nan")), "cannot be read"),
        (changing(1, t00200037=("DS", "1\\0\\0\\0.2\\1\\0")), "right angles"),
        (changing(1, t00280030=("DS", "0\\1")), "of 0"),
        (changing(1, t00281053=("DS", "0")), "rescale slope of 0"),
        (changing(1, t00283000=("SQ", [])), "lookup table"),
        (changing(1, t00280004=("CS", "RGB")), "colours"),
        (changing(1, t00280002=("US", 3)), "colours"),
        (changing(1, t00280100=("US", 12)), "12 bits a pixel"),
        (changing(1, t00280010=None), "how its pixels are stored"),
        (changing(1, t00280008=("IS", "3")), "84 of 252 bytes of pixels"),
        (changing(1, t7FE00010=("OW", bytes(100))), "100 bytes of pixels, not the 84"),
        (changing(1, t00280008=("IS", "1.5")), "how its pixels are stored"),
    ],
)
def test_a_slice_that_cannot_be_placed_or_read_is_refused(
    tmp_path: Path, change: dicoms.Change, complaint: str
) -> None:
    message = refused(series(tmp_path, change=change))
    assert complaint in message
    assert "007.dcm" in message


def test_a_syntax_that_cannot_be_verified_is_refused(tmp_path: Path) -> None:
    assert "cannot be verified" in refused(series(tmp_path, syntax=dicoms.DEFLATED))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "without a DICOM image" in refused(tmp_path)


def test_labels_are_not_read_from_dicom(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="for images only"):
        volumes.read_labels(series(tmp_path), LabelFiles())


# ---- many frames in one file


@pytest.mark.parametrize("open_ended", [False, True])
def test_an_enhanced_file_is_read_frame_by_frame(
    tmp_path: Path,
    open_ended: bool,  # noqa: FBT001
) -> None:
    affine = world("LPS", 25)
    scalings = [(index + 1.0, -3.0 * index) for index in range(SHAPE[2])]
    dicoms.write(
        tmp_path / "all.dcm", dicoms.enhanced(ARRAY, affine, scalings), open_ended=open_ended
    )
    read = volumes.read_image(tmp_path)
    slopes, inters = np.array(scalings).T
    assert np.array_equal(read.array[0], (ARRAY * slopes + inters).astype(np.float32))
    assert np.allclose(read.affine, affine, atol=1e-6)


def test_frames_in_any_order_are_sorted(tmp_path: Path) -> None:
    turned = PLAIN.copy()
    turned[:, 2] *= -1
    turned[:, 3] = PLAIN @ [0, 0, SHAPE[2] - 1, 1]
    dicoms.write(tmp_path / "all.dcm", dicoms.enhanced(ARRAY[..., ::-1], turned))
    read = volumes.read_image(tmp_path)
    assert np.array_equal(read.array[0], ARRAY)
    assert np.allclose(read.affine, PLAIN, atol=1e-9)


def test_gdcm_places_an_enhanced_file_alike(tmp_path: Path) -> None:
    path = dicoms.write(tmp_path / "all.dcm", dicoms.enhanced(ARRAY, world("LPS", 25)))
    theirs = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
    ours = volumes.read_image(tmp_path)
    assert np.array_equal(sitk.GetArrayFromImage(theirs).T, ours.array[0])
    place = np.array(theirs.TransformIndexToPhysicalPoint((3, 1, 4)))
    assert np.allclose((ours.affine @ [3, 1, 4, 1])[:3], place * [-1, -1, 1], atol=1e-6)


def test_frames_without_places_are_refused(tmp_path: Path) -> None:
    elements = dicoms.enhanced(ARRAY, PLAIN)
    position, orientation, spacing = dicoms.place_elements(PLAIN, 0)
    elements |= {dicoms.POSITION: ("DS", position), dicoms.ORIENTATION: ("DS", orientation)}
    elements[dicoms.SPACING] = ("DS", spacing)
    del elements[dicoms.PER_FRAME]
    dicoms.write(tmp_path / "all.dcm", elements)
    assert "does not say where each of them lies" in refused(tmp_path)


def test_fewer_descriptions_than_frames_are_refused(tmp_path: Path) -> None:
    elements = dicoms.enhanced(ARRAY, PLAIN)
    kind, frames = elements[dicoms.PER_FRAME]
    assert isinstance(frames, list)
    elements[dicoms.PER_FRAME] = (kind, frames[:-1])
    dicoms.write(tmp_path / "all.dcm", elements)
    assert "has 5 frames but describes 4" in refused(tmp_path)


# ---- what a folder stands for


def test_the_hash_is_of_all_slices_whatever_their_names(tmp_path: Path) -> None:
    folder = series(tmp_path)
    before = volumes.sha256(folder)
    path = folder / dicoms.name_of(3)
    path.rename(folder / "zzz.dcm")
    assert volumes.sha256(folder) == before
    content = bytearray((folder / "zzz.dcm").read_bytes())
    content[-1] ^= 1
    (folder / "zzz.dcm").write_bytes(content)
    assert volumes.sha256(folder) != before


def test_nothing_of_a_header_reaches_what_is_written(tmp_path: Path) -> None:
    read = volumes.read_image(series(tmp_path))
    volumes.write_image(tmp_path / "out.nii", read.array, read.affine)
    assert dicoms.PATIENT.encode() not in (tmp_path / "out.nii").read_bytes()
    assert dicoms.PATIENT not in str(dicom.header(tmp_path / "series"))
