"""A table of subjects: each row is one image, to be paired with others."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tenter.manifest import cells
from tenter.manifest.sheet import Rows, Sheet
from tenter.records import Subject

REQUIRED = ("subject", "patient", "image")
OPTIONAL = ("labels", "points", "group", "set", "fold")
LONGEST = 31
"""Maximum number of characters of an id, so that two joined by `--` are a valid id of a pair."""

_OF_PAIRS = ("pair", "moving_image", "fixed_image")


def is_table(columns: Sequence[str]) -> bool:
    """Whether a header is of subjects: it has more columns of subjects than of pairs."""
    count = sum(name in columns for name in ("subject", "image"))
    return count > sum(name in columns for name in _OF_PAIRS)


def rows(sheet: Sheet, table: tuple[list[str], Rows]) -> tuple[Subject, ...]:
    """The rows that name an image; reports faults of rows and between rows."""
    columns, lines = table
    if not sheet.header_is_sound(columns, REQUIRED, OPTIONAL):
        return ()
    if not lines:
        sheet.complain("holds no subjects", "add one row for each subject below the header", 1)
    parsed = [_subject(sheet, number, line) for number, line in lines]
    good = tuple(subject for subject in parsed if subject is not None)
    cells.compare_ids(sheet, "subject", [(subject.id, subject.row) for subject in good])
    _compare_images(sheet, good)
    cells.compare_patients(sheet, good)
    return good


def _subject(sheet: Sheet, row: int, line: dict[str, str]) -> Subject | None:
    """The subject of a row that names an image; of a faulty row, too, so its files are checked."""
    cells.check_part(sheet, row, "subject", line["subject"], LONGEST)
    cells.check_part(sheet, row, "patient", line["patient"])
    image = cells.needed_file(sheet, row, "image", line["image"])
    labels, points = (
        cells.named_file(sheet, row, kind, line.get(kind, "")) for kind in ("labels", "points")
    )
    chosen = cells.chosen_set(sheet, row, line.get("set", ""))
    fold = cells.own_fold(sheet, row, line.get("fold", ""))
    if image is None:
        return None
    return Subject(
        id=line["subject"] or f"row-{row}",
        patient=line["patient"] or f"row-{row}",
        image=image,
        labels=labels,
        points=points,
        group=line.get("group", ""),
        set=chosen,
        fold=fold if chosen == "cv" else None,
        stratum=line.get(sheet.stratum or "group", ""),
        row=row,
    )


def _compare_images(sheet: Sheet, subjects: Sequence[Subject]) -> None:
    seen: dict[str, Subject] = {}
    for subject in subjects:
        known = seen.setdefault(os.path.realpath(subject.image), subject)
        if known is not subject:
            message = f"is the image of subject {known.id!r} (row {known.row}) too"
            sheet.complain(message, "give each subject its own image", subject.row, "image")
