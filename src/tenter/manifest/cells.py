"""What single cells may be, and what must agree between rows, whatever a row stands for."""

from __future__ import annotations

import errno
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tenter.manifest.sheet import Sheet
from tenter.records import Pair, Set, Subject

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SETS: tuple[Set, ...] = ("cv", "train", "test")
JOIN = "--"
"""Joins two patients, and the two subjects of a pair."""

_DATA_FILE = re.compile(rb"^(?:ElementDataFile[ \t]*=|data ?file:=?)([^\r\n]+)", re.MULTILINE | re.IGNORECASE)

_CONTROL = re.compile(r"[\x00-\x1f]")

Member = Pair | Subject


def check_id(sheet: Sheet, row: int, column: str, value: str) -> None:
    """Complain of what is no id."""
    if not value:
        sheet.complain("is blank", "give an id", row, column)
    elif not ID.fullmatch(value):
        fix = "use letters, digits, _ and -, at most 64, beginning with a letter or digit"
        sheet.complain(f"is no id: {value[:80]!a}", fix, row, column)


def check_part(sheet: Sheet, row: int, column: str, value: str) -> None:
    """Complain of what is no id, or cannot be told apart where two are joined."""
    check_id(sheet, row, column, value)
    if JOIN in value:
        sheet.complain(f"{value!r} holds `--`, which joins two {column}s", "use one `-`", row, column)
    elif value.endswith("-"):
        sheet.complain(f"{value!r} ends with `-`", f"end it otherwise: `--` joins two {column}s", row, column)


def named_file(sheet: Sheet, row: int, column: str, value: str) -> Path | None:
    """The file that a cell names; None for a blank cell and, with a complaint, for what is no file's name."""
    if not value:
        return None
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
        sheet.complain("is a URL", "download the file and give its path", row, column)
        return None
    if _CONTROL.search(value):
        sheet.complain("holds control characters", "rename the file", row, column)
        return None
    path = sheet.path.parent / value
    if _is_loop(path):
        message = "leads back to itself by symbolic links"
        sheet.complain(message, "point the link at the file", row, column)
        return None
    if sheet.data_root is not None and not _is_inside(path, sheet.data_root):
        sheet.complain("lies outside data_root", "move the file, or change `data_root`", row, column)
        return None
    return path


def needed_file(sheet: Sheet, row: int, column: str, value: str) -> Path | None:
    """As `named_file`, but a blank cell is complained of."""
    if not value:
        sheet.complain("is blank", "give the path of an image", row, column)
    return named_file(sheet, row, column, value)


def chosen_set(sheet: Sheet, row: int, value: str) -> Set:
    """The set of a row: `cv` where the cell is blank."""
    for name in SETS:
        if (value or "cv") == name:
            return name
    sheet.complain(f"is {value!r}", f"use one of {', '.join(SETS)}", row, "set")
    return "cv"


def own_fold(sheet: Sheet, row: int, value: str) -> int | None:
    """The user's own fold of a row, or None."""
    if not value:
        return None
    if re.fullmatch(r"\d{1,3}", value):
        return int(value)
    sheet.complain(f"is {value!r}", "use a whole number from 0", row, "fold")
    return None


def compare_ids(sheet: Sheet, column: str, ids: Sequence[tuple[str, int]]) -> None:
    """Complain of ids that stand twice, or that differ too little.

    Args:
        sheet: the table.
        column: `pair` or `subject`.
        ids: each row's id and line.
    """
    exact: dict[str, int] = {}
    folded: dict[str, tuple[str, int]] = {}
    for name, row in ids:
        if name in exact:
            message = f"{name!r} stands in row {exact[name]} too"
            sheet.complain(message, f"give each {column} its own id", row, column)
            continue
        exact[name] = row
        lower = name.casefold()
        if lower in folded:
            other, line = folded[lower]
            message = f"{name!r} differs from {other!r} (row {line}) only in case"
            sheet.complain(message, "rename one: some file systems cannot tell them apart", row, column)
        folded[lower] = (name, row)
    _compare_zeros(sheet, column, ids)


def compare_patients(sheet: Sheet, rows: Sequence[Member]) -> None:
    """Complain of patients who would be on two sides of a split."""
    _compare_zeros(sheet, "patient", [(patient, row.row) for row in rows for patient in row.patients])
    by_patient: dict[str, list[Member]] = defaultdict(list)
    for row in rows:
        for patient in row.patients:
            by_patient[patient].append(row)
    for patient, own in by_patient.items():
        _compare_patient(sheet, patient, own)
    some_folded = any(row.fold is not None for row in rows)
    for row in rows:
        if some_folded and row.set == "cv" and row.fold is None:
            fix = "give every cross-validated row its fold, or none"
            sheet.complain("is blank, other rows have a fold", fix, row.row, "fold")


def _compare_zeros(sheet: Sheet, column: str, ids: Iterable[tuple[str, int]]) -> None:
    seen: dict[str, str] = {}
    for name, row in ids:
        short = name.casefold().lstrip("0")
        other = seen.setdefault(short, name)
        if other != name and other.casefold() != name.casefold():
            message = f"{name!r} and {other!r} differ only in leading zeros"
            sheet.complain(message, "make sure that they are two", row, column, warn=True)
        elif other != name and column == "patient":
            message = f"{name!r} and {other!r} differ only in case"
            sheet.complain(message, "write a patient's id in one way", row, column)


def _compare_patient(sheet: Sheet, patient: str, own: Sequence[Member]) -> None:
    sets = sorted({row.set for row in own})
    if len(sets) > 1 and "test" in sets:
        rows = ", ".join(str(row.row) for row in own)
        message = f"patient {patient!r} is in {' and '.join(sets)} (rows {rows})"
        sheet.complain(message, "a tested patient must never be trained on", own[0].row, "set")
    if len(sets) > 1 and "test" not in sets:
        message = f"patient {patient!r} is both always trained on and cross-validated"
        sheet.complain(message, "give all rows of a patient one set", own[0].row, "set")
    folds = sorted({row.fold for row in own if row.fold is not None})
    if len(folds) > 1:
        message = f"patient {patient!r} is in folds {', '.join(map(str, folds))}"
        sheet.complain(message, "give all rows of a patient one fold", own[0].row, "fold")


def files_behind(path: Path) -> tuple[Path, ...]:
    """The files that a path of the table stands for.

    The slices of a folder (DICOM; hidden files, a DICOMDIR and folders below do not count), both files of
    a header and its data where they are two (.hdr/.img, .mhd, .nhdr), else the path itself.
    """
    if path.is_dir():
        try:
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries if not is_folder(entry))
        except OSError:
            return (path,)
        return tuple(path / name for name in names if name[0] != "." and name != "DICOMDIR") or (path,)
    other = _other_file(path)
    return (path, other) if other is not None and other.is_file() else (path,)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a folder; a link that leads back to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _other_file(path: Path) -> Path | None:
    """The file that holds the voxels of a header, or the header of voxels."""
    suffix = path.suffix.lower()
    if suffix in {".hdr", ".img"}:
        other = ".img" if suffix == ".hdr" else ".hdr"
        return path.with_suffix(other.upper() if path.suffix.isupper() else other)
    if suffix not in {".mhd", ".nhdr"} or not path.is_file():
        return None
    with path.open("rb") as stream:
        named = _DATA_FILE.search(stream.read(2**16))
    return path.parent / named[1].decode("utf-8", "replace").strip() if named else None


def _is_inside(path: Path, root: Path) -> bool:
    """Whether a file, or a folder with all files in it, lies in another; links count as their ends."""
    # realpath, as Path.resolve raises for a loop of links among the files of a folder.
    ends = (Path(os.path.realpath(part)) for part in (path, *files_behind(path)))
    return all(end.is_relative_to(root) for end in ends)


def _is_loop(path: Path) -> bool:
    """Whether symbolic links, of a file or of a folder above it, lead back to themselves."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False
