from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenter.errors import InputError
from tenter.formats.point_writers import rounded, write_points
from tenter.formats.points import Point, read_points

FORMATS = ("a.tsv", "a.csv", "a.fcsv", "a.mrk.json")
SOME = (Point("apex", (1.5, -2.0, 3.25)), Point("base, left", (0.0, 10.0, -7.125)))

names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=64
)
places = st.tuples(*[st.floats(-1e4, 1e4)] * 3)


@pytest.mark.parametrize("name", FORMATS)
@given(rows=st.dictionaries(names, places, min_size=1, max_size=5))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
def test_what_is_written_is_read_back(
    tmp_path: Path, name: str, rows: dict[str, tuple[float, float, float]]
) -> None:
    points = [Point(key, xyz) for key, xyz in rows.items()]
    write_points(tmp_path / name, points)
    back = read_points(tmp_path / name)
    assert [point.name for point in back] == list(rows)
    for point, kept in zip(points, back, strict=True):
        assert kept.xyz == pytest.approx(point.xyz, abs=1e-6)


def test_a_table_says_its_space_and_unit(tmp_path: Path) -> None:
    write_points(tmp_path / "a.tsv", SOME[:1])
    head, row = (tmp_path / "a.tsv").read_text().splitlines()
    assert head.split("\t") == ["label", "x", "y", "z", "space", "unit"]
    assert row.split("\t") == ["apex", "1.500000", "-2.000000", "3.250000", "RAS", "mm"]


def test_fcsv_is_what_3d_slicer_asks_for(tmp_path: Path) -> None:
    """Fixed columns in fixed order, a version line first,
    and a space that old and new versions know.
    """
    write_points(tmp_path / "a.fcsv", SOME)
    version, space, columns, first, second = (tmp_path / "a.fcsv").read_text().splitlines()
    assert version.startswith("# Markups fiducial file version = ")
    assert space == "# CoordinateSystem = RAS"
    assert columns == "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
    assert first == "1,1.500000,-2.000000,3.250000,0,0,0,1,1,1,0,apex,,"
    assert second == '2,0.000000,10.000000,-7.125000,0,0,0,1,1,1,0,"base, left",,'


def test_markups_are_in_lps_with_real_numbers(tmp_path: Path) -> None:
    """3D Slicer takes a coordinate without a decimal point for none."""
    write_points(tmp_path / "a.mrk.json", SOME)
    text = (tmp_path / "a.mrk.json").read_text()
    content = json.loads(text)
    (markup,) = content["markups"]
    assert content["@schema"].endswith("/markups-schema-v1.0.3.json#")
    assert (markup["type"], markup["coordinateSystem"], markup["coordinateUnits"]) == (
        "Fiducial",
        "LPS",
        "mm",
    )
    positions = [point["position"] for point in markup["controlPoints"]]
    assert positions == [[-1.5, 2.0, 3.25], [0.0, -10.0, -7.125]]
    assert all(isinstance(value, float) for position in positions for value in position)
    assert "-0.0" not in text


def test_numbers_lose_less_than_a_nanometre_and_the_sign_of_nothing() -> None:
    assert rounded(1.23456789) == 1.234568
    assert str(rounded(-1e-9)) == "0.0"


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.nii.gz", "fcsv"])
def test_another_name_is_refused_with_those_that_are_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"name it \.tsv, \.csv, \.fcsv, \.mrk\.json"):
        write_points(tmp_path / name, SOME)
    assert list(tmp_path.iterdir()) == []
