"""A table of pairs: each row is a moving and a fixed image, of one patient or of two."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tenter.manifest import cells
from tenter.manifest.sheet import Rows, Sheet
from tenter.records import JOIN, Pair

REQUIRED = ("pair", "patient", "moving_image", "fixed_image")
IMAGES = ("moving_image", "fixed_image")
FILES = ("initial_transform", "moving_labels", "fixed_labels", "moving_points", "fixed_points")
OPTIONAL = (*FILES, "set", "fold")


def rows(sheet: Sheet, table: tuple[list[str], Rows]) -> tuple[Pair, ...]:
    """The rows that name two images; reports faults of rows and between rows."""
    columns, lines = table
    if not sheet.header_is_sound(columns, REQUIRED, OPTIONAL):
        return ()
    if not lines:
        sheet.complain("holds no pairs", "add one row for each pair below the header", 1)
    parsed = [_pair(sheet, number, line) for number, line in lines]
    good = tuple(pair for pair in parsed if pair is not None)
    _compare(sheet, good)
    return good


def _pair(sheet: Sheet, row: int, line: dict[str, str]) -> Pair | None:
    """The pair of a row that names two images; of a faulty row, too, so its files are checked."""
    cells.check_id(sheet, row, "pair", line["pair"])
    patients = _patients(sheet, row, line["patient"])
    moving, fixed = (cells.needed_file(sheet, row, name, line[name]) for name in IMAGES)
    optional_files = {
        name: cells.named_file(sheet, row, name, line.get(name, "")) for name in FILES
    }
    for name in ("labels", "points"):
        blanks = [
            cells.is_blank(sheet, line.get(f"{side}_{name}", "")) for side in ("moving", "fixed")
        ]
        if blanks[0] != blanks[1]:
            blank = f"moving_{name}" if blanks[0] else f"fixed_{name}"
            sheet.complain("is blank, the other side is not", "give both or neither", row, blank)
    chosen = cells.chosen_set(sheet, row, line.get("set", ""))
    fold = cells.own_fold(sheet, row, line.get("fold", ""))
    if len(patients) > 1 and fold is not None:
        fix = "leave the column out, or give a table of subjects, each with its fold"
        sheet.complain("is one fold for two patients", fix, row, "fold")
    if not moving or not fixed:
        return None
    return Pair(
        id=line["pair"] or f"row-{row}",
        patients=patients,
        moving=moving,
        fixed=fixed,
        moving_labels=optional_files["moving_labels"],
        fixed_labels=optional_files["fixed_labels"],
        moving_points=optional_files["moving_points"],
        fixed_points=optional_files["fixed_points"],
        initial_transform=optional_files["initial_transform"],
        set=chosen,
        fold=fold if chosen == "cv" else None,
        stratum=line.get(sheet.stratum, "") if sheet.stratum else None,
        row=row,
    )


def _patients(sheet: Sheet, row: int, value: str) -> tuple[str, ...]:
    """The patient of a pair, or the two that `--` joins, the moving image's first."""
    if JOIN not in value:
        cells.check_id(sheet, row, "patient", value)
        return (value or f"row-{row}",)
    patients = tuple(value.split(JOIN))
    if len(patients) > 2:
        sheet.complain(
            f"{value[:80]!r} joins more than two patients", "give one or two", row, "patient"
        )
        return (value,)
    for patient in patients:
        cells.check_part(sheet, row, "patient", patient)
    return tuple(dict.fromkeys(patients))


def _compare(sheet: Sheet, pairs: Sequence[Pair]) -> None:
    cells.compare_ids(sheet, "pair", [(pair.id, pair.row) for pair in pairs])
    real = functools.cache(os.path.realpath)
    for pair in pairs:
        if _link_target(pair.moving, real) == _link_target(pair.fixed, real):
            sheet.complain("is the moving image too", "give two images", pair.row, "fixed_image")
    cells.compare_patients(sheet, pairs)


def _link_target(path: Path, real: Callable[[Path], str]) -> tuple[str, str]:
    """Folder and name of a file with links resolved; each folder is resolved only once."""
    target = Path(real(path)) if path.is_symlink() else path
    return real(target.parent), target.name
