"""Only axes of space are space: sequences of frames, series in time and lists of channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.intake import integrity

FRAMES = np.random.default_rng(0).integers(1, 255, (6, 5, 4), dtype="u1")
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "1 1 1",
    "DimSize": "6 5 4",
    "ElementType": "MET_UCHAR",
}
POSES = {
    f"Seq_Frame{frame:04d}_ProbeToTrackerTransform": f"1 0 0 {frame} 0 1 0 0 0 0 1 0 0 0 0 1"
    for frame in range(4)
}
FOUR = {
    "NDims": "4",
    "DimSize": "6 5 2 2",
    "Offset": "0 0 0 0",
    "ElementSpacing": "1 1 1 1",
    "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
}


def meta(path: Path, **changes: str) -> Path:
    """A MetaImage of 120 bytes of voxels."""
    fields = "".join(f"{key} = {value}\n" for key, value in (META | changes).items())
    path.write_bytes(f"{fields}ElementDataFile = LOCAL\n".encode() + FRAMES.tobytes(order="F"))
    return path


def nrrd(path: Path, sizes: str, kinds: str, directions: str, *lines: str) -> Path:
    """A NRRD file of 120 bytes of voxels."""
    text = [
        "NRRD0005",
        "type: uint8",
        "encoding: raw",
        f"dimension: {len(sizes.split())}",
        f"sizes: {sizes}",
        *([f"kinds: {kinds}"] if kinds else []),
        "space: left-posterior-superior",
        f"space directions: {directions}",
        "space origin: (0,0,0)",
        *lines,
    ]
    path.write_bytes(("\n".join(text) + "\n\n").encode() + FRAMES.tobytes(order="F"))
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        volumes.read_values(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.igs.mha", "a.seq.mha", "a.mha"])
@pytest.mark.parametrize("kinds", [{}, {"Kinds": "domain domain list"}])
def test_a_tracked_metaimage_is_refused_with_the_way_out(
    tmp_path: Path, name: str, kinds: dict[str, str]
) -> None:
    text = refused(meta(tmp_path / name, **kinds, **POSES))
    assert "is a tracked sequence of 4 frames, each with its own pose" in text
    assert "reconstruct a volume from it first" in text
    assert "3D Slicer" in text


@pytest.mark.parametrize("name", ["a.seq.nrrd", "a.igs.nrrd", "a.nrrd"])
@pytest.mark.parametrize("kinds", ["", "domain domain list", "domain domain domain"])
def test_a_tracked_nrrd_is_refused_with_the_way_out(tmp_path: Path, name: str, kinds: str) -> None:
    poses = [f"{key}:={value}" for key, value in POSES.items()]
    path = nrrd(tmp_path / name, "6 5 4", kinds, "(1,0,0) (0,1,0) (0,0,1)", *poses)
    assert "is a tracked sequence of 4 frames" in refused(path)


def test_a_tracked_series_of_volumes_is_refused_too(tmp_path: Path) -> None:
    assert "tracked sequence" in refused(meta(tmp_path / "a.mha", **FOUR, **POSES))


def test_a_sequence_is_known_by_its_name_where_its_poses_were_lost(tmp_path: Path) -> None:
    assert "a sequence of tracked ultrasound frames" in refused(meta(tmp_path / "a.igs.mha"))


@pytest.mark.parametrize(
    ("kinds", "axis", "meaning"),
    [
        ("domain domain list", 3, "a list of frames"),
        ("domain domain time", 3, "time"),
        ("list domain domain", 1, "a list of frames"),
        ("space vector space", 2, "of the kind vector"),
        ("domain domain RGB-color", 3, "of the kind rgb-color"),
    ],
)
def test_an_axis_of_another_kind_is_none_of_space(
    tmp_path: Path, kinds: str, axis: int, meaning: str
) -> None:
    complaint = f"axis {axis} is {meaning}, not an axis of space"
    assert complaint in refused(meta(tmp_path / "a.mha", Kinds=kinds))
    assert complaint in refused(
        nrrd(tmp_path / "a.nrrd", "6 5 4", kinds, "(1,0,0) (0,1,0) (0,0,1)")
    )


@pytest.mark.parametrize(
    "kinds", ["", "domain domain domain", "space space space", "??? ??? ???", "none domain space"]
)
def test_axes_of_space_are_a_volume_whatever_their_kind_is_called(
    tmp_path: Path, kinds: str
) -> None:
    head = volumes.header(nrrd(tmp_path / "a.nrrd", "6 5 4", kinds, "(1,0,0) (0,1,0) (0,0,1)"))
    assert (head.shape, head.channels) == ((6, 5, 4), 1)


@pytest.mark.parametrize("kind", ["list", "time", "vector", "point", "normal", "covariant-vector"])
def test_a_fourth_axis_of_another_kind_is_channels(tmp_path: Path, kind: str) -> None:
    path = nrrd(
        tmp_path / "a.nrrd",
        "6 5 2 2",
        f"domain domain domain {kind}",
        "(1,0,0) (0,1,0) (0,0,1) none",
    )
    values, _ = volumes.read_values(path)
    assert np.array_equal(values, FRAMES.reshape(6, 5, 2, 2, order="F").transpose(3, 0, 1, 2))


@pytest.mark.parametrize("kind", ["list", "time", "vector", "RGB-color", "3-vector"])
def test_a_first_axis_of_another_kind_is_channels(tmp_path: Path, kind: str) -> None:
    path = nrrd(
        tmp_path / "a.nrrd",
        "3 5 4 2",
        f"{kind} domain domain domain",
        "none (1,0,0) (0,1,0) (0,0,1)",
    )
    values, _ = volumes.read_values(path)
    assert np.array_equal(values, FRAMES.reshape(3, 5, 4, 2, order="F"))


def test_frames_in_one_plane_are_channels_of_a_slice(tmp_path: Path) -> None:
    head = volumes.header(
        nrrd(tmp_path / "a.nrrd", "6 5 4", "domain domain time", "(1,0,0) (0,1,0) none")
    )
    assert (head.shape, head.channels) == ((6, 5, 1), 4)


def test_time_is_no_axis_of_space_where_the_space_has_time(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", "6 5 2 2", "", "(1,0,0,0) (0,1,0,0) (0,0,1,0) (0,0,0,7)")
    text = (
        path.read_bytes()
        .replace(b"superior\n", b"superior-time\n")
        .replace(b"(0,0,0)\n", b"(0,0,0,0)\n")
    )
    path.write_bytes(text)
    assert (volumes.header(path).shape, volumes.header(path).channels) == ((6, 5, 2), 2)


@pytest.mark.parametrize(
    ("sizes", "kinds", "directions", "complaint"),
    [
        (
            "2 6 5 2",
            "complex domain domain domain",
            "none (1,0,0) (0,1,0) (0,0,1)",
            "holds complex values",
        ),
        (
            "6 1 5 4",
            "3D-matrix domain domain domain",
            "none (1,0,0) (0,1,0) (0,0,1)",
            "holds 3d-matrix values",
        ),
        (
            "6 5 2 2",
            "domain domain list domain",
            "(1,0,0) (0,1,0) none (0,0,1)",
            "between the axes of space",
        ),
        (
            "5 3 2 2 2",
            "domain list domain domain time",
            "(1,0,0) none (0,1,0) (0,0,1) none",
            "2 others",
        ),
        ("6 5 4", "domain domain", "(1,0,0) (0,1,0) (0,0,1)", "3 axes and 2 kinds"),
        ("6 5 4", "", "(1,0,0) (0,1,0)", "do not fit"),
        ("6 5 4", "", "(1,0,0) none none", "1 axes with a direction in space"),
    ],
)
def test_axes_that_make_up_no_volume_are_refused(
    tmp_path: Path, sizes: str, kinds: str, directions: str, complaint: str
) -> None:
    assert complaint in refused(nrrd(tmp_path / "a.nrrd", sizes, kinds, directions))


def test_check_names_a_sequence_for_what_it_is(tmp_path: Path) -> None:
    found = integrity.examine(meta(tmp_path / "a.igs.mha", **POSES), "image", LabelFiles())
    assert not found.sound
    assert found.faults[0].fix.startswith("reconstruct a volume")
