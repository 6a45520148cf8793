from __future__ import annotations

import json
import os
import resource
import subprocess
import threading
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from builders import dicoms, faulty_files
from tenter.config import LabelFiles
from tenter.formats.points import Point
from tenter.intake import integrity
from tenter.intake.integrity import Finding

MAP, STACK = LabelFiles(format="map"), LabelFiles(format="stack")


def told(finding: Finding) -> str:
    return " | ".join(f"{item.severity} {item.message}; {item.fix}" for item in finding.faults)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path: Path = faulty_files.image(tmp_path / "image.nii.gz")
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path: Path = faulty_files.labels(tmp_path / "labels.nii.gz")
    return path


def test_a_sound_image_has_no_problem_and_tells_its_geometry(image: Path) -> None:
    found = integrity.examine(image, "image", MAP)
    assert found.faults == ()
    assert found.shape == faulty_files.SHAPE
    np.testing.assert_array_equal(found.matrix, faulty_files.affine())


def test_the_sha256_is_of_the_whole_file(image: Path) -> None:
    command = ["sha256sum", str(image)]
    sum_by_coreutils = subprocess.run(
        command, capture_output=True, check=True, text=True
    ).stdout.split()[0]
    assert integrity.examine(image, "image", MAP).sha256 == sum_by_coreutils


@pytest.mark.parametrize("spoiler", faulty_files.UNREADABLE)
def test_a_faulty_image_is_told_and_named_for_what_it_is(image: Path, spoiler: str) -> None:
    spoil, word = faulty_files.UNREADABLE[spoiler]
    spoil(image)
    found = integrity.examine(image, "image", MAP)
    assert not found.sound
    assert word in told(found)


@pytest.mark.parametrize(
    "spoiler", ["cut_half", "cut_last_percent", "cut_trailer", "wrong_checksum", "flip_bit"]
)
def test_damaged_labels_are_refused_as_images_are(labels: Path, spoiler: str) -> None:
    faulty_files.UNREADABLE[spoiler][0](labels)
    assert not integrity.examine(labels, "labels", MAP).sound


@pytest.mark.parametrize("spoiler", ["html", "text_in_gzip"])
def test_content_of_a_file_that_is_no_image_is_not_echoed(image: Path, spoiler: str) -> None:
    faulty_files.UNREADABLE[spoiler][0](image)
    assert "SECRET" not in told(integrity.examine(image, "image", MAP))


@pytest.mark.parametrize("spoiler", ["huge", "bomb"])
def test_a_lying_header_or_a_gzip_bomb_takes_no_memory(image: Path, spoiler: str) -> None:
    getattr(faulty_files, spoiler)(image)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not integrity.examine(image, "image", MAP).sound
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_pipe_is_not_opened(image: Path) -> None:
    faulty_files.fifo(image)
    reader = threading.Thread(target=integrity.examine, args=(image, "image", MAP), daemon=True)
    reader.start()
    reader.join(5)
    assert not reader.is_alive()


def test_a_url_is_not_looked_up() -> None:
    found = integrity.examine(Path("data/https:/example.org/a.nii.gz"), "image", MAP)
    assert "URL" in told(found)


def test_a_link_to_a_sound_file_is_sound(image: Path) -> None:
    link = image.with_name("link.nii.gz")
    link.symlink_to(image)
    assert integrity.examine(link, "image", MAP).sound


def test_an_unknown_suffix_is_told_with_what_the_file_seems_to_be(tmp_path: Path) -> None:
    path = tmp_path / "scan.dat"
    path.write_bytes(bytes(128) + b"DICM" + bytes(100))
    assert "DICOM" in told(integrity.examine(path, "image", MAP))


def test_metres_for_mm_are_warned_of_with_figures(tmp_path: Path) -> None:
    path = faulty_files.image(
        tmp_path / "metres.nii.gz", matrix=faulty_files.affine((0, 0, 0), spacing=0.001)
    )
    found = integrity.examine(path, "image", MAP)
    assert found.sound
    assert "0.001 x 0.001 x 0.001 mm" in told(found)


def test_other_formats_are_examined_too(tmp_path: Path) -> None:
    path = tmp_path / "image.nrrd"
    noise = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), useCompression=True)
    assert integrity.examine(path, "image", MAP).shape == (4, 5, 6)
    os.truncate(path, path.stat().st_size // 2)
    assert "truncated" in told(integrity.examine(path, "image", MAP))


def test_labels_tell_their_keys(labels: Path) -> None:
    assert integrity.examine(labels, "labels", MAP).keys == (1, 2)


def test_scaled_labels_keep_every_key(labels: Path) -> None:
    faulty_files.scaled_labels(labels)
    stored = nib.load(labels).dataobj  # type: ignore[attr-defined] # nibabel's base class lacks it
    assert np.asarray(stored).max() != 2
    assert integrity.examine(labels, "labels", MAP).keys == (1, 2)


@pytest.mark.parametrize(
    ("spoiler", "word"), [("fractional_labels", "fractional"), ("negative_labels", "-1")]
)
def test_values_that_are_no_labels_are_refused(labels: Path, spoiler: str, word: str) -> None:
    getattr(faulty_files, spoiler)(labels)
    assert word in told(integrity.examine(labels, "labels", MAP))


def test_an_empty_channel_of_a_stack_is_no_label(tmp_path: Path) -> None:
    stack = np.zeros((*faulty_files.SHAPE, 3), np.uint8)
    stack[4:6, 4:6, 4:6, [0, 2]] = 1
    found = integrity.examine(faulty_files.save(tmp_path / "stack.nii.gz", stack), "labels", STACK)
    assert (found.keys, found.empty) == ((0, 2), (1,))


def test_points_are_told_with_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("label,x,y,z\napex,1,2,3\nbase,1,nan,3\n", encoding="utf-8")
    found = integrity.examine(path, "points", MAP)
    assert found.points == (Point("apex", (1.0, 2.0, 3.0)),)
    assert [(fault.row, fault.column) for fault in found.faults] == [(3, "y")]


def test_an_initial_transform_is_read_into_ras(tmp_path: Path) -> None:
    path = tmp_path / "shift.tfm"
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(path))
    found = integrity.examine(path, "transform", MAP)
    np.testing.assert_allclose(found.matrix[:3, 3], (-1, -2, 3))


def test_no_transform_is_told(tmp_path: Path) -> None:
    path = tmp_path / "shift.tfm"
    path.write_text("nothing\n", encoding="utf-8")
    assert not integrity.examine(path, "transform", MAP).sound


def test_a_quick_look_reads_headers_only(image: Path) -> None:
    faulty_files.constant(image)
    found = integrity.examine(image, "image", MAP, quick=True)
    assert found.sound
    assert found.sha256 == ""


def test_a_finding_survives_json(tmp_path: Path, image: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("label,x,y,z\napex,1,2,3\nbase,1,nan,3\n", encoding="utf-8")
    faulty_files.constant(image)
    kinds: dict[Path, integrity.Kind] = {path: "points", image: "image"}
    for file, kind in kinds.items():
        found = integrity.examine(file, kind, MAP)
        assert integrity.parse_finding(file, json.loads(json.dumps(asdict(found)))) == found


def test_the_stamp_changes_with_the_file(image: Path) -> None:
    before = integrity.stamp(image, "image")
    os.utime(image, ns=(1, 1))
    assert integrity.stamp(image, "image") != before
    image.unlink()
    assert integrity.stamp(image, "image") == ()


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """A sound DICOM series."""
    noise = np.random.default_rng(0).integers(0, 1000, faulty_files.SHAPE).astype(np.int16)
    folder: Path = dicoms.write_series(tmp_path / "slices", noise, faulty_files.affine())
    return folder


def test_a_dicom_series_is_an_image_but_no_label_file(slices: Path) -> None:
    found = integrity.examine(slices, "image", MAP)
    assert (found.faults, found.shape) == ((), faulty_files.SHAPE)
    assert found.bytes == sum(path.stat().st_size for path in slices.iterdir())
    assert "is a folder, not a file" in told(integrity.examine(slices, "labels", MAP))


def test_a_faulty_series_is_told_without_a_word_of_its_headers(slices: Path) -> None:
    faulty_files.cut_half(slices / dicoms.name_of(3))
    (slices / "notes.txt").write_text("SECRET", encoding="utf-8")
    text = told(integrity.examine(slices, "image", MAP))
    assert "2 of 9 files cannot be used as slices: 021.dcm is truncated" in text
    assert "notes.txt is not a DICOM file" in text
    assert dicoms.PATIENT not in text


def test_a_quick_look_at_a_series_reads_headers_only(tmp_path: Path) -> None:
    folder = dicoms.write_series(
        tmp_path / "flat", np.zeros(faulty_files.SHAPE, np.uint8), faulty_files.affine()
    )
    assert integrity.examine(folder, "image", MAP, quick=True).sound
    assert "is constant" in told(integrity.examine(folder, "image", MAP))


def test_the_stamp_of_a_series_changes_with_each_slice_and_with_the_folder(slices: Path) -> None:
    first = integrity.stamp(slices, "image")
    os.utime(slices / dicoms.name_of(5), ns=(1, 1))
    second = integrity.stamp(slices, "image")
    (slices / "more").mkdir()
    assert len({first, second, integrity.stamp(slices, "image")}) == 3
