"""Every oracle has its tests, and a row where they are told."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TOLD = HERE.parents[1] / "docs/explanation/physical-space.md"
ALL = list(range(1, 31))


def test_every_oracle_has_a_test() -> None:
    names = [
        name
        for path in HERE.glob("test_*.py")
        for name in re.findall(r"def test_o(\d\d)_", path.read_text())
    ]
    assert sorted({int(name) for name in names}) == ALL


def test_every_oracle_has_a_row() -> None:
    assert [int(row) for row in re.findall(r"^\| O(\d+) \|", TOLD.read_text(), re.MULTILINE)] == ALL
