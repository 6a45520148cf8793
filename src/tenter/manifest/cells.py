"""Validation of single cells, and of agreement between rows, for both kinds of manifest."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tenter import spelling
from tenter.config import paths
from tenter.errors import InvalidValueError
from tenter.manifest import companions
from tenter.manifest.sheet import Sheet
from tenter.records import JOIN, Pair, Set, Subject

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SETS: tuple[Set, ...] = ("cv", "train", "test")

_REMOTE = (
    (re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://"), "is a URL", "download the file and give its path"),
    (
        re.compile(r"[A-Za-z]:[\\/]|\\\\"),
        "is a Windows path",
        "give the file's path on this machine",
    ),
)
"""Patterns of paths that are not on this machine, each with message and fix."""

_BLANK = frozenset(
    {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "\u2013", "\u2014"}
)
"""What programs and people write into a cell that has no value."""

Member = Pair | Subject


def check_id(sheet: Sheet, row: int, column: str, value: str, longest: int = 64) -> None:
    """Report a cell that is not a valid id."""
    if not value:
        sheet.complain("is blank", "give an id", row, column)
    elif len(value) > longest:
        sheet.complain(f"has {len(value)} characters", f"use at most {longest}", row, column)
    elif not ID.fullmatch(value):
        near = spelling.plain(value)[:longest]
        hint = f"write {near!r}, or use" if near and near != value else "use"
        fix = f"{hint} letters (without accents), digits, _ and -, at most {longest}"
        sheet.complain(f"is not an id: {spelling.shown(value)}", fix, row, column)
    elif spelling.reserved(value):
        message = f"{value!r} {spelling.reserved(value)}"
        sheet.complain(message, "rename it if results will be copied there", row, column, warn=True)


def check_part(sheet: Sheet, row: int, column: str, value: str, longest: int = 64) -> None:
    """Report an id that is not valid, or ambiguous when two are joined by `--`."""
    check_id(sheet, row, column, value, longest)
    if JOIN in value:
        sheet.complain(
            f"{value!r} holds `--`, which joins two {column}s", "use one `-`", row, column
        )
    elif value.endswith("-"):
        sheet.complain(
            f"{value!r} ends with `-`", f"end it otherwise: `--` joins two {column}s", row, column
        )


def named_file(sheet: Sheet, row: int, column: str, value: str) -> Path | None:
    """The file that a cell names; None for a blank cell, and with a fault for an invalid one.

    `NA` and the like are blank, unless a file has that name.
    """
    if is_blank(sheet, value):
        return None
    for pattern, message, fix in _REMOTE:
        if pattern.match(value):
            sheet.complain(message, fix, row, column)
            return None
    try:
        path = sheet.path.parent / paths.expanded(value)
        paths.check_signs(str(path))
    except InvalidValueError as error:
        sheet.complain(error.message, error.fix, row, column)
        return None
    if not _is_reachable(sheet, row, column, path):
        return None
    if sheet.data_root is not None and not _is_inside(path, sheet.data_root):
        sheet.complain(
            "lies outside data_root", "move the file, or change `data_root`", row, column
        )
        return None
    _warn_of_unportable_name(sheet, row, column, path, value)
    return path


def _warn_of_unportable_name(sheet: Sheet, row: int, column: str, path: Path, value: str) -> None:
    """Warn of names that other systems do not allow, or confuse with others of the table."""
    for part in Path(value).parts:
        reason = spelling.reserved(part)
        if reason:
            sheet.complain(
                f"{part!r} {reason}",
                "rename it if the data will be copied there",
                row,
                column,
                warn=True,
            )
    known, line = sheet.names.setdefault(spelling.folded(str(path)), (str(path), row))
    if known == str(path):
        return
    file_name, known_name = Path(path).name, Path(known).name
    if spelling.skeleton(file_name) != spelling.skeleton(known_name):
        message = f"{file_name!r} differs from {known_name!r} (row {line}) only in case"
    else:
        difference = spelling.difference(str(path), known)
        message = f"{file_name!r} looks like the file of row {line} ({difference})"
    sheet.complain(
        message,
        "make sure that they are two files; some file systems cannot tell them apart",
        row,
        column,
        warn=True,
    )


def needed_file(sheet: Sheet, row: int, column: str, value: str) -> Path | None:
    """As `named_file`, but a blank cell is a fault."""
    before = sheet.errors()
    path = named_file(sheet, row, column, value)
    if path is None and sheet.errors() == before:
        message = f"is {value!r}" if value else "is blank"
        sheet.complain(message, "give the path of an image", row, column)
    return path


def is_blank(sheet: Sheet, value: str) -> bool:
    """Whether the cell of an optional file is blank."""
    return not value or (
        value.casefold() in _BLANK and not os.path.lexists(sheet.path.parent / value)
    )


def _is_reachable(sheet: Sheet, row: int, column: str, path: Path) -> bool:
    """Whether the system can resolve a path; a missing file is left to the check of files."""
    try:
        link = path.lstat()
        if stat.S_ISLNK(link.st_mode):
            path.stat()
    except OSError as error:
        problem = _UNREACHABLE.get(error.errno or 0)
        if problem is None:
            return True
        message, fix = problem
        sheet.complain(message.format(len(path.name.encode())), fix, row, column)
        return False
    return True


_UNREACHABLE = {
    errno.ELOOP: (
        "is a link that leads back to itself",
        "correct the link, or give the file's own path",
    ),
    errno.ENAMETOOLONG: (
        "has a name of {} bytes, more than the file system allows",
        "shorten the name",
    ),
    errno.EACCES: (
        "lies in a folder that may not be entered",
        "ask for permission, or copy the file",
    ),
}


def chosen_set(sheet: Sheet, row: int, value: str) -> Set:
    """The set of a row: `cv` where the cell is blank."""
    stated = "cv" if value.casefold() in _BLANK or not value else value.casefold()
    for name in SETS:
        if stated == name:
            return name
    sheet.complain(f"is {value!r}", f"use one of {', '.join(SETS)}", row, "set")
    return "cv"


def own_fold(sheet: Sheet, row: int, value: str) -> int | None:
    """The fold that the user chose for a row, or None; accepts `1.0` and `1,0` of spreadsheets."""
    if not value or value.casefold() in _BLANK:
        return None
    number = re.fullmatch(r"(\d{1,3})(?:[.,]0*)?", value, re.ASCII)
    if number:
        return int(number[1])
    sheet.complain(f"is {value!r}", "use a whole number from 0", row, "fold")
    return None


def compare_ids(sheet: Sheet, column: str, ids: Sequence[tuple[str, int]]) -> None:
    """Report ids that occur twice, or that are too similar.

    Args:
        sheet: the table.
        column: `pair` or `subject`.
        ids: id and line of each row.
    """
    exact: dict[str, int] = {}
    folded: dict[str, tuple[str, int]] = {}
    for name, row in ids:
        if name in exact:
            message = f"{name!r} is already in row {exact[name]}"
            sheet.complain(message, f"give each {column} its own id", row, column)
            continue
        exact[name] = row
        lower = name.casefold()
        if lower in folded:
            known, line = folded[lower]
            message = f"{name!r} differs from {known!r} (row {line}) only in case"
            sheet.complain(
                message, "rename one: some file systems cannot tell them apart", row, column
            )
        folded[lower] = (name, row)
    _compare_zeros(sheet, column, ids)


def compare_patients(sheet: Sheet, rows: Sequence[Member]) -> None:
    """Report patients who would be on both sides of a split."""
    _compare_zeros(
        sheet, "patient", [(patient, row.row) for row in rows for patient in row.patients]
    )
    by_patient: dict[str, list[Member]] = defaultdict(list)
    for row in rows:
        for patient in row.patients:
            by_patient[patient].append(row)
    for patient, members in by_patient.items():
        _compare_patient(sheet, patient, members)
    some_folded = any(row.fold is not None for row in rows)
    for row in rows:
        if some_folded and row.set == "cv" and row.fold is None:
            fix = "give every cross-validated row its fold, or none"
            sheet.complain("is blank, other rows have a fold", fix, row.row, "fold")


def _compare_zeros(sheet: Sheet, column: str, ids: Iterable[tuple[str, int]]) -> None:
    seen: dict[str, str] = {}
    for name, row in ids:
        short = name.casefold().lstrip("0")
        known = seen.setdefault(short, name)
        if known != name and known.casefold() != name.casefold():
            message = f"{name!r} and {known!r} differ only in leading zeros"
            sheet.complain(message, "make sure that both are meant", row, column, warn=True)
        elif known != name and column == "patient":
            message = f"{name!r} and {known!r} differ only in case"
            sheet.complain(message, "write a patient's id in one way", row, column)


def _compare_patient(sheet: Sheet, patient: str, members: Sequence[Member]) -> None:
    sets = sorted({row.set for row in members})
    if len(sets) > 1 and "test" in sets:
        rows = ", ".join(str(row.row) for row in members)
        message = f"patient {patient!r} is in {' and '.join(sets)} (rows {rows})"
        sheet.complain(message, "a tested patient must never be trained on", members[0].row, "set")
    if len(sets) > 1 and "test" not in sets:
        message = f"patient {patient!r} is both always trained on and cross-validated"
        sheet.complain(message, "give all rows of a patient one set", members[0].row, "set")
    folds = sorted({row.fold for row in members if row.fold is not None})
    if len(folds) > 1:
        message = f"patient {patient!r} is in folds {', '.join(map(str, folds))}"
        sheet.complain(message, "give all rows of a patient one fold", members[0].row, "fold")


def _is_inside(path: Path, root: Path) -> bool:
    """Whether a file, or a folder with all its files, lies in `root`, with links resolved."""
    parts = (path, *companions.files_behind(path))
    return all(Path(os.path.realpath(part)).is_relative_to(root) for part in parts)
