from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter.errors import DataError
from tenter.formats import point_lists, points

TABLE = "label\tx\ty\tz\napex\t1.5\t-2\t3e1\nbase\t0\t0.25\t-7\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def markups(path: Path, **changes: Any) -> Path:
    point = {"label": "apex", "position": [1.0, 2.0, 3.0], "positionStatus": "defined"}
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "controlPoints": [point],
    }
    return written(path, json.dumps({"markups": [markup | changes]}))


def fcsv(path: Path, space: str) -> Path:
    head = f"# Markups fiducial file version = 4.11\n# CoordinateSystem = {space}\n"
    columns = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    return written(path, head + columns + "vtk_1,1,2,3,0,0,0,1,1,1,0,apex,,\n")


def test_a_table_is_in_ras_mm_unless_it_says_otherwise(tmp_path: Path) -> None:
    read = points.read_points(written(tmp_path / "a.tsv", TABLE))
    assert read == (("apex", (1.5, -2.0, 30.0)), ("base", (0.0, 0.25, -7.0)))


def test_commas_byte_order_mark_crlf_and_column_order_change_nothing(tmp_path: Path) -> None:
    text = "\ufeffz,y,x,label,note\r\n30,-2,1.5,apex,\r\n-7,0.25,0,base,seen twice\r\n"
    read = points.read_points(written(tmp_path / "a.csv", text))
    assert read == points.read_points(written(tmp_path / "a.tsv", TABLE))


@pytest.mark.parametrize(
    ("space", "unit", "expected"),
    [
        ("RAS", "mm", (1.0, 2.0, 3.0)),
        ("LPS", "mm", (-1.0, -2.0, 3.0)),
        ("lps", "cm", (-10.0, -20.0, 30.0)),
    ],
)
def test_a_table_says_its_space_and_unit(
    tmp_path: Path, space: str, unit: str, expected: tuple[float, float, float]
) -> None:
    path = written(tmp_path / "a.csv", f"label,x,y,z,space,unit\napex,1,2,3,{space},{unit}\n")
    assert points.read_points(path)[0].xyz == expected


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("0", (1.0, 2.0, 3.0)),
        ("1", (-1.0, -2.0, 3.0)),
        ("RAS", (1.0, 2.0, 3.0)),
        ("LPS", (-1.0, -2.0, 3.0)),
    ],
)
def test_fcsv_honours_its_coordinate_system(
    tmp_path: Path, space: str, expected: tuple[float, float, float]
) -> None:
    assert points.read_points(fcsv(tmp_path / "a.fcsv", space)) == (("apex", expected),)


@pytest.mark.parametrize(
    ("space", "expected"), [("LPS", (-1.0, -2.0, 3.0)), ("RAS", (1.0, 2.0, 3.0))]
)
def test_markups_honour_their_coordinate_system(
    tmp_path: Path, space: str, expected: tuple[float, float, float]
) -> None:
    path = markups(tmp_path / "a.mrk.json", coordinateSystem=space)
    assert points.read_points(path) == (("apex", expected),)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("label;x;y;z\napex;1,5;-2;0,25\n", "utf-8"),
        ("label;x;y;z;;\r\napex;1,5;-2;,25;;\r\n", "utf-8-sig"),
        ("label\tx\ty\tz\napex\t1,5e0\t-2,0\t0,25\n", "utf-16"),
        ("label,x,y,z,\napex,1.5,-2,0.25,\n", "utf-16"),
        ("label,x,y,z\napex,1.5,-2,0.25\n", "utf-32"),
        ("label;x;y;z\napex;1.5;-2;0.25\n", "utf-8"),
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(
    tmp_path: Path, text: str, encoding: str
) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert points.read_points(tmp_path / "a.csv") == (("apex", (1.5, -2.0, 0.25)),)


def test_a_name_keeps_its_comma(tmp_path: Path) -> None:
    text = "label;x;y;z\n1,5;1,5;2;3\n"
    assert points.read_points(written(tmp_path / "a.csv", text)) == (("1,5", (1.5, 2.0, 3.0)),)


FAULTY = {
    "no header": ("a.tsv", "apex\t1\t2\t3\n", (1, "label")),
    "nan": ("a.tsv", "label\tx\ty\tz\napex\t1\tnan\t3\n", (2, "y")),
    "infinite": ("a.tsv", "label\tx\ty\tz\napex\t1\t2\t1e999\n", (2, "z")),
    "decimal comma and point": ("a.tsv", "label\tx\ty\tz\napex\t1,5\t2.5\t3\n", (2, "x")),
    "thousands": ("a.tsv", "label\tx\ty\tz\napex\t1,500.5\t2\t3\n", (2, "x")),
    "blank cell": ("a.tsv", "label\tx\ty\tz\napex\t\t2\t3\n", (2, "x")),
    "blank name": ("a.tsv", "label\tx\ty\tz\n\t1\t2\t3\n", (2, "label")),
    "name twice": ("a.tsv", "label\tx\ty\tz\na\t1\t2\t3\na\t4\t5\t6\n", (3, "label")),
    "ragged": ("a.csv", "label,x,y,z\napex,1,2\n", (2, None)),
    "column twice": ("a.csv", "label,x,y,z,x\napex,1,2,3,4\n", (1, "x")),
    "voxels": ("a.csv", "label,x,y,z,unit\napex,1,2,3,voxel\n", (2, "unit")),
    "other space": ("a.csv", "label,x,y,z,space\napex,1,2,3,LAS\n", (2, "space")),
    "no points": ("a.csv", "label,x,y,z\n", (None, None)),
    "empty": ("a.csv", "", (1, "label")),
    "binary": ("a.csv", "label,x\x00", (1, None)),
    "wrong kind": ("a.xyz", TABLE, (None, None)),
    "no space in fcsv": (
        "a.fcsv",
        "# columns = id,x,y,z,label\n1,1,2,3,apex\n",
        (None, "CoordinateSystem"),
    ),
    "short fcsv": (
        "a.fcsv",
        "# CoordinateSystem = 0\n# columns = id,x,y,z,label\n1,1,2\n",
        (3, None),
    ),
    "no json": ("a.mrk.json", "{", (None, None)),
    "other json": ("a.json", '{"points": []}', (None, None)),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_faulty_file_is_told_with_row_and_column(tmp_path: Path, case: str) -> None:
    name, text, place = FAULTY[case]
    _, faults = points.scan(written(tmp_path / name, text))
    assert (faults[0].row, faults[0].column) == place


@pytest.mark.parametrize(
    "changes",
    [
        {"coordinateSystem": "IJK"},
        {"coordinateUnits": "um"},
        {"coordinateUnits": ["mm", "mm"]},
        {"controlPoints": [1]},
        {"controlPoints": [{"label": "a", "position": [0, 0, 0], "positionStatus": "undefined"}]},
        {"controlPoints": [{"label": "a", "position": [0, float("nan"), 0]}]},
        {"controlPoints": [{"label": "a", "position": [0, True, 0]}]},
    ],
)
def test_faulty_markups_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    assert len(points.scan(markups(tmp_path / "a.mrk.json", **changes))[1]) == 1


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "label\tx\ty\tz\na\t1\t?\t3\nb\t?\t5\t6\nc\t1\t2\t3\n")
    with pytest.raises(DataError, match=r"(?s)a\.tsv:2:y.*a\.tsv:3:x"):
        points.read_points(path)


def test_latin_1_is_told_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("label,x,y,z\na,1,2,3\nné,1,2,3\n".encode("latin-1"))
    assert points.scan(path)[1][0].row == 3


def test_content_of_a_file_that_is_no_table_is_not_echoed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "root:x:0:0:SECRET\nSECRET,1,2,3\n")
    assert "SECRET" not in str(points.scan(path)[1])


def test_a_file_too_large_for_points_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as stream:
        stream.truncate(point_lists.LARGEST_BYTES + 1)
    assert "too many" in points.scan(path)[1][0].message


def test_absent_names_what_the_other_side_lacks() -> None:
    some = (points.Point("a", (0.0, 0.0, 0.0)), points.Point("b", (0.0, 0.0, 0.0)))
    assert points.absent(some, some[:1]) == ("b",)


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6, allow_nan=False)] * 3), min_size=1, max_size=5))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
def test_written_in_lps_cm_is_read_as_the_same_ras_mm(
    tmp_path: Path, places: list[tuple[float, float, float]]
) -> None:
    rows = [f"{i},{-x / 10!r},{-y / 10!r},{z / 10!r},LPS,cm" for i, (x, y, z) in enumerate(places)]
    path = written(tmp_path / "a.csv", "\n".join(["label,x,y,z,space,unit", *rows]) + "\n")
    for point, place in zip(points.read_points(path), places, strict=True):
        assert point.xyz == pytest.approx(place, abs=1e-6)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.tsv: is missing"):
        points.read_points(tmp_path / "a.tsv")
