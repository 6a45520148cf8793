"""The architecture page has every room on its floor, and names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from lint import floors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table below a heading."""
    lines = PAGE.partition(f"{heading}\n")[2].partition("\n#")[0].splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return table[1:]


def test_each_room_is_on_its_floor_of_the_contract() -> None:
    layers = floors.floors((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    expected = [
        (str(number), room)
        for number, layer in zip(range(len(layers), 0, -1), layers, strict=True)
        for room in sorted(layer)
    ]
    page = [(number, room.strip("`")) for number, room, _ in rows("## Floors")]
    assert sorted(page) == sorted(expected)


def test_files_that_the_page_names_exist() -> None:
    names = {
        name
        for row in rows("### Where does my change go?")
        for name in re.findall(r"`([\w/.]+(?:\.py|\.smk|/))`", " ".join(row))
    }
    new = {name for name in names if "/x." in name}
    missing = {
        name
        for name in names - new
        if not any((ROOT / root / name).exists() for root in (".", "src/tenter"))
    }
    assert missing == set()
    assert new, "the page names no new module"
