from __future__ import annotations

import contextlib
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from builders import dicoms
from tenter.formats import dicom_files, dicom_pixels
from tenter.formats.dicom_files import UnusableError

PLANES = np.random.default_rng(0).integers(0, 4000, (1, 3, 4)).astype(np.uint16)
SEQUENCE, UNKNOWN = 0x00081140, 0x00091001
TAIL = 72
"""Bytes of the element after the pixels; without all of them the file is complete as well."""


def nested(depth: int) -> dicoms.Elements:
    """Sequences in sequences, each with a position that is not the image's."""
    inner: dicoms.Elements = {dicoms.POSITION: ("DS", "9\\9\\9")}
    return inner | ({SEQUENCE: ("SQ", [nested(depth - 1)])} if depth else {})


@pytest.mark.parametrize("syntax", [dicoms.IMPLICIT, dicoms.EXPLICIT, dicoms.BIG_ENDIAN])
@pytest.mark.parametrize("open_ended", [False, True])
def test_elements_inside_sequences_are_not_the_images(
    tmp_path: Path,
    syntax: str,
    open_ended: bool,  # noqa: FBT001 - parametrised
) -> None:
    elements = dicoms.pixel_elements(PLANES, syntax) | {SEQUENCE: ("SQ", [nested(3), nested(1)])}
    path = dicoms.write(tmp_path / "a.dcm", elements, syntax, open_ended=open_ended)
    image = dicom_files.read_image(path)
    assert "ImagePositionPatient" not in image.frames[0]
    assert image.shape == PLANES.shape


def test_a_sequence_of_unknown_type_says_no_types_inside(tmp_path: Path) -> None:
    items = dicoms.encoded({1: ("SQ", [nested(1)])}, dicoms.IMPLICIT, open_ended=True)[8:]
    head = struct.pack("<HH2sHI", UNKNOWN >> 16, UNKNOWN & 0xFFFF, b"UN", 0, 0xFFFFFFFF)
    path = dicoms.write(tmp_path / "a.dcm", dicoms.pixel_elements(PLANES))
    content = path.read_bytes()
    place = content.index(struct.pack("<HH", 0x0010, 0x0010))
    path.write_bytes(content[:place] + head + items + content[place:])
    assert dicom_files.read_image(path).shape == PLANES.shape


def test_endless_nesting_is_refused(tmp_path: Path) -> None:
    path = dicoms.write(tmp_path / "a.dcm", dicoms.pixel_elements(PLANES))
    content = path.read_bytes()
    begin = struct.pack("<HH2sHI", SEQUENCE >> 16, SEQUENCE & 0xFFFF, b"SQ", 0, 0xFFFFFFFF)
    begin += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    place = content.index(struct.pack("<HH", 0x0010, 0x0010))
    path.write_bytes(content[:place] + begin * 5000 + content[place:])
    with pytest.raises(UnusableError, match="nested too deeply"):
        dicom_files.read_image(path)


def with_a_tail(path: Path, *, open_ended: bool = False) -> bytes:
    """A file with sequences before its pixels, and padding after them, as some scanners write."""
    elements = dicoms.pixel_elements(PLANES) | {SEQUENCE: ("SQ", [nested(2)])}
    elements[0xFFFCFFFC] = ("OB", bytes(TAIL - 12))
    return dicoms.write(path, elements, open_ended=open_ended).read_bytes()


@pytest.mark.parametrize("open_ended", [False, True])
def test_no_cut_file_is_taken_for_whole(tmp_path: Path, open_ended: bool) -> None:  # noqa: FBT001
    content = with_a_tail(tmp_path / "a.dcm", open_ended=open_ended)
    for length in set(range(len(content))) - {len(content) - TAIL}:
        (tmp_path / "a.dcm").write_bytes(content[:length])
        with pytest.raises(UnusableError):
            dicom_pixels.read_image(tmp_path / "a.dcm")


def test_pydicom_alone_accepts_most_cut_files(tmp_path: Path) -> None:
    content = with_a_tail(tmp_path / "a.dcm")
    accepted = with_all_pixels = 0
    for length in range(len(content)):
        with contextlib.suppress(Exception):
            cut = dcmread(BytesIO(content[:length]))
            accepted += 1
            with_all_pixels += len(cut.get("PixelData", b"")) == PLANES.nbytes
    # Figures of docs/decisions/0015-reading-to-the-last-byte.md, which pydicom 3.0.2 gave.
    assert (len(content), accepted, with_all_pixels) == (656, 503, 68)


@pytest.mark.filterwarnings("ignore:Unknown encoding")
def test_an_unknown_character_set_does_not_matter(tmp_path: Path) -> None:
    elements = dicoms.pixel_elements(PLANES) | {0x00080005: ("CS", "KLINGON")}
    image = dicom_pixels.read_image(dicoms.write(tmp_path / "a.dcm", elements))
    assert np.array_equal(dicoms.all_frames(image), PLANES)


@settings(max_examples=200)
@given(
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4),
    value=st.integers(0, 255),
)
def test_damage_is_refused_or_harmless_but_never_an_accident(
    tmp_path_factory: pytest.TempPathFactory, places: list[float], value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    elements = dicoms.enhanced(np.zeros((4, 3, 2), np.int16), np.diag([1.0, 1, 2, 1]))
    content = bytearray(dicoms.write(path, elements, open_ended=True).read_bytes())
    for place in places:
        content[132 + int(place * (len(content) - 132))] = value
    path.write_bytes(content)
    with contextlib.suppress(UnusableError):
        image = dicom_pixels.read_image(path)
        assert dicoms.all_frames(image).shape == image.shape


@pytest.mark.parametrize("text", ["", "1\\2", "1\\2\\x", "1\\2\\inf"])
def test_what_are_not_three_numbers_is_refused_unseen(text: str) -> None:
    with pytest.raises(UnusableError, match="cannot be read"):
        dicom_files.decimals(text, 3)


def test_decimals_may_stand_between_blanks() -> None:
    assert dicom_files.decimals("1.5 \\ -2e1", 2) == (1.5, -20.0)
