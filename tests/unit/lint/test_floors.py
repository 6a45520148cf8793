"""The picture of the floors: what it reads, what it leaves out, and where it draws."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lint import floors

CONTRACTS = """
[[tool.importlinter.contracts]]
type = "forbidden"

[[tool.importlinter.contracts]]
type = "layers"
layers = ["cli | api", "stages", "files"]
"""
ROWS = [["cli", "api"], ["stages"], ["files"]]
DIRECT = {"cli": {"stages", "files"}, "api": {"files"}, "stages": {"files"}, "files": set[str]()}


def test_the_order_of_floors_is_the_contracts() -> None:
    assert floors.floors(CONTRACTS) == ROWS


def test_imports_between_rooms_are_read_from_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "__init__": "",
        "low": "",
        "high/__init__": "",
        "high/inner": "from house import low\nfrom house.high import other\n",
        "high/other": "import json\n",
    }.items():
        path = tmp_path / f"house/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert floors.imports("house", ["high", "low"]) == {"high": {"low"}, "low": set()}


def test_imports_that_follow_from_others_are_left_out() -> None:
    assert floors.reduced(DIRECT) == {
        "cli": {"stages"},
        "api": {"files"},
        "stages": {"files"},
        "files": set(),
    }


def test_boxes_of_a_floor_are_apart_and_within_the_picture() -> None:
    names = [f"room{index}" for index in range(9)]
    drawing = floors.laid_out([names, ["low"]], {name: {"low"} for name in names})
    row = drawing.rows[0]
    assert row[0].x - row[0].width / 2 >= 0
    assert row[-1].x + row[-1].width / 2 <= floors.WIDTH
    for one, other in itertools.pairwise(row):
        assert one.x + one.width / 2 < other.x - other.width / 2


def test_a_line_crosses_each_floor_between_its_rooms() -> None:
    drawing = floors.laid_out(ROWS, floors.reduced(DIRECT))
    lengths = {line[0].name: len(line) for line in drawing.lines}
    assert lengths == {"cli": 2, "api": 3, "stages": 2}


def test_the_picture_is_sound_xml_that_names_every_room() -> None:
    text = floors.svg(floors.laid_out(ROWS, floors.reduced(DIRECT)), DIRECT)
    names = [e.text for e in ET.fromstring(text).iter() if e.get("class") == "name"]  # noqa: S314
    assert sorted(map(str, names)) == ["api", "cli", "files", "stages"]
    assert "cli imports files, stages" in text
