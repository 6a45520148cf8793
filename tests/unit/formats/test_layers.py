"""Segmentations of 3D Slicer whose segments overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.intake import integrity

MAP, STACK = LabelFiles(format="map"), LabelFiles(format="stack")
SHAPE = (6, 5, 4)

Segments = list[tuple[int, int, str]]
"""Layer, label value and name of each segment."""


def layer(*boxes: tuple[int, int, int]) -> np.ndarray:
    """A layer in which each value fills planes of the first axis, from one up to before another."""
    values = np.zeros(SHAPE, np.uint8)
    for first, last, value in boxes:
        values[first:last] = value
    return values


def write(
    path: Path, layers: list[np.ndarray], segments: Segments, *, list_last: bool = False
) -> Path:
    """A .seg.nrrd as 3D Slicer writes it: layers along a first axis of the kind list."""
    array = np.stack(layers, axis=3 if list_last else 0)
    kinds, directions = ["domain"] * 3, ["(1,0,0)", "(0,1,0)", "(0,0,1)"]
    kinds.insert(3 if list_last else 0, "list")
    directions.insert(3 if list_last else 0, "none")
    lines = [
        "NRRD0004",
        "type: uint8",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, array.shape))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        "encoding: raw",
        "space origin: (0,0,0)",
    ]
    for number, (place, value, name) in enumerate(segments):
        lines += [f"Segment{number}_ID:=Segment_{number}", f"Segment{number}_Layer:={place}"]
        lines += [f"Segment{number}_LabelValue:={value}", f"Segment{number}_Name:={name}"]
    path.write_bytes(("\n".join(lines) + "\n\n").encode() + array.tobytes(order="F"))
    return path


OVERLAPPING = [layer((0, 3, 1), (3, 5, 2)), layer((2, 4, 3))]
UNIQUE: Segments = [(0, 1, "prostate"), (0, 2, "rectum"), (1, 3, "tumour")]


@pytest.mark.parametrize("list_last", [False, True])
def test_overlapping_segments_have_their_label_values_as_keys(
    tmp_path: Path,
    list_last: bool,  # noqa: FBT001 - parametrised
) -> None:
    read = volumes.read_labels(
        write(tmp_path / "a.seg.nrrd", OVERLAPPING, UNIQUE, list_last=list_last), MAP
    )
    assert read.keys == (1, 2, 3)
    assert np.array_equal(read.mask(1), layer((0, 3, 1)))
    assert np.array_equal(read.mask(3), layer((2, 4, 1)))
    assert read.array.shape == (3, *SHAPE)


def test_segments_have_their_names(tmp_path: Path) -> None:
    read = volumes.read_labels(write(tmp_path / "a.seg.nrrd", OVERLAPPING, UNIQUE), MAP)
    assert read.names == ((1, "prostate"), (2, "rectum"), (3, "tumour"))


def test_where_layers_repeat_values_keys_are_the_numbers_of_segments(tmp_path: Path) -> None:
    segments: Segments = [(0, 1, "prostate"), (1, 1, "tumour"), (0, 2, "rectum")]
    path = write(tmp_path / "a.seg.nrrd", [layer((0, 3, 1), (3, 5, 2)), layer((2, 4, 1))], segments)
    read = volumes.read_labels(path, MAP)
    assert read.names == ((1, "prostate"), (2, "tumour"), (3, "rectum"))
    assert np.array_equal(read.mask(2), layer((2, 4, 1)))
    assert np.array_equal(read.mask(3), layer((3, 5, 1)))


def test_segments_that_do_not_overlap_become_one_map(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.seg.nrrd", [layer((0, 2, 1)), layer((3, 5, 7))], [(0, 1, "a"), (1, 7, "b")]
    )
    read = volumes.read_labels(path, MAP)
    assert np.array_equal(read.values, layer((0, 2, 1), (3, 5, 7)))
    assert read.keys == (1, 7)


def test_a_segment_without_a_voxel_is_no_key(tmp_path: Path) -> None:
    path = write(tmp_path / "a.seg.nrrd", OVERLAPPING, [*UNIQUE, (1, 9, "nothing")])
    assert volumes.read_labels(path, MAP).keys == (1, 2, 3)


def test_segments_of_older_files_are_layers_of_ones(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.seg.nrrd", [layer((0, 3, 1)), layer((2, 5, 1))], [(0, 1, "a"), (1, 1, "b")]
    )
    lines = [
        line
        for line in path.read_bytes().split(b"\n")
        if b"_Layer" not in line and b"_LabelValue" not in line
    ]
    path.write_bytes(b"\n".join(lines))
    read = volumes.read_labels(path, MAP)
    assert read.names == ((1, "a"), (2, "b"))
    assert np.array_equal(read.mask(2), layer((2, 5, 1)))


@pytest.mark.parametrize(
    "segments", [UNIQUE, [(0, 1, "p"), (0, 2, "r"), (1, 3, "t"), (1, 9, "nothing")]]
)
@pytest.mark.parametrize("list_last", [False, True])
def test_check_finds_what_is_read(
    tmp_path: Path,
    segments: Segments,
    list_last: bool,  # noqa: FBT001
) -> None:
    path = write(tmp_path / "a.seg.nrrd", OVERLAPPING, segments, list_last=list_last)
    found = integrity.examine(path, "labels", MAP)
    read = volumes.read_labels(path, MAP)
    assert found.sound
    assert (found.keys, found.names) == (read.keys, read.names)


@pytest.mark.parametrize(
    ("segments", "complaint"),
    [
        ([(0, 1, "a"), (0, 2, "b")], "holds the value 3 in layer 1, which no segment has"),
        ([(0, 1, "a"), (0, 2, "b"), (2, 3, "c")], "'c' of layer 2 and label value 3, and 2 layers"),
        ([(0, 1, "a"), (0, 1, "b"), (1, 3, "c")], "several segments the label value 1 in layer 0"),
        ([(0, 0, "a"), (0, 2, "b"), (1, 3, "c")], "layer 0 and label value 0"),
        ([(1, 3, "a")], "holds the value 1 in layer 0, which no segment has"),
    ],
)
def test_layers_and_segments_that_do_not_fit_are_refused(
    tmp_path: Path, segments: Segments, complaint: str
) -> None:
    path = write(tmp_path / "a.seg.nrrd", OVERLAPPING, segments)
    with pytest.raises(DataError, match=complaint):
        volumes.read_labels(path, MAP)
    assert complaint in integrity.examine(path, "labels", MAP).faults[0].message


def test_the_advice_for_layers_does_not_go_in_a_circle(tmp_path: Path) -> None:
    path = write(tmp_path / "a.seg.nrrd", OVERLAPPING, UNIQUE)
    with pytest.raises(DataError, match=r"set labels\.format to map"):
        volumes.read_labels(path, STACK)
    assert volumes.read_labels(path, MAP).keys == (1, 2, 3)


def test_the_advice_for_channels_of_no_segmentation_holds_neither_way_to_the_other(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.nrrd", OVERLAPPING, [])
    with pytest.raises(DataError, match="if each channel is one label from 0 to 1, or merge them"):
        volumes.read_labels(path, MAP)
    with pytest.raises(DataError, match="store each label as a channel of its own"):
        volumes.read_labels(path, STACK)


def test_names_of_a_single_layer_are_known_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.seg.nrrd", [layer((0, 3, 1), (3, 5, 2))], UNIQUE[:2])
    read = volumes.read_labels(path, MAP)
    assert (read.keys, read.names) == ((1, 2), ((1, "prostate"), (2, "rectum")))
