"""The table of pairs: TSV or CSV, read as text, every complaint with row, column and fix.

One row is one pair of images. Paths are relative to the table's own folder or absolute.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from tenter import files
from tenter.errors import InputError
from tenter.records import Fault, ImagePair, Pair, Severity

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
REQUIRED = ("pair", "patient", "moving_image", "fixed_image")
IMAGES = ("moving_image", "fixed_image", "initial_transform")
LABELS = ("moving_labels", "fixed_labels", "moving_points", "fixed_points")
OPTIONAL = ("initial_transform", *LABELS, "set", "fold")
SETS = ("cv", "train", "test")


def read(path: Path, stratum: str | None = None, data_root: Path | None = None) -> tuple[Pair, ...]:
    """Read a manifest.

    Args:
        path: TSV or CSV file, UTF-8.
        stratum: column whose values are spread evenly over folds.
        data_root: folder that every file must lie in, or None.

    Raises:
        InputError: with every fault of the table.
    """
    pairs, faults = scan(path, stratum, data_root)
    errors = [fault for fault in faults if fault.severity == "ERROR"]
    if errors:
        raise InputError(errors)
    return pairs


def pairs(path: Path, ids: Iterable[str]) -> tuple[Pair, ...]:
    """The rows of the pairs with these ids, in the order asked for.

    Raises:
        InputError: the table is faulty or lacks one of the ids.
    """
    by_id = {pair.id: pair for pair in read(path)}
    wanted = tuple(ids)
    missing = [name for name in wanted if name not in by_id]
    if missing:
        message = f"lacks the pairs {', '.join(missing)}"
        raise InputError([Fault(str(path), message, "do not edit the manifest while jobs run; run again")])
    return tuple(by_id[name] for name in wanted)


def image_pairs(path: Path, ids: Iterable[str]) -> tuple[ImagePair, ...]:
    """As `pairs`, without labels: all that image preparation and inference may see."""
    return tuple(pair.images() for pair in pairs(path, ids))


def digest(rows: Iterable[Pair], folder: Path) -> str:
    """Sha256 of what rows say; paths count relative to the table's `folder`, contents do not."""
    said = []
    for row in rows:
        values = [getattr(row, item.name) for item in fields(Pair) if item.name != "row"]
        said.append(
            [os.path.relpath(value, folder) if isinstance(value, Path) else value for value in values]
        )
    return files.digest(said)


def scan(
    path: Path, stratum: str | None = None, data_root: Path | None = None
) -> tuple[tuple[Pair, ...], tuple[Fault, ...]]:
    """Read what can be read: the sound rows, and every fault of the table.

    Args:
        path: TSV or CSV file, UTF-8.
        stratum: column whose values are spread evenly over folds.
        data_root: folder that every file must lie in, or None.
    """
    reader = _Reader(path, stratum, data_root.resolve() if data_root else None)
    found = reader.pairs()
    return found, tuple(sorted(reader.faults, key=lambda fault: (fault.row or 0, fault.column or "")))


@dataclass
class _Reader:
    """One pass over a table, collecting faults."""

    path: Path
    stratum: str | None
    data_root: Path | None
    faults: list[Fault] = field(default_factory=list)

    def complain(
        self, message: str, fix: str, row: int | None = None, column: str | None = None, *, warn: bool = False
    ) -> None:
        """Add a fault."""
        severity: Severity = "WARNING" if warn else "ERROR"
        self.faults.append(Fault(str(self.path), message, fix, row, column, severity))

    def pairs(self) -> tuple[Pair, ...]:
        """Rows that are sound by themselves; also says what is wrong between rows."""
        table = self._table()
        if table is None:
            return ()
        columns, rows = table
        if not self._columns_are_sound(columns):
            return ()
        if not rows:
            self.complain("holds no pairs", "add one row for each pair below the header", 1)
        parsed = [self._pair(number, dict(zip(columns, cells, strict=False))) for number, cells in rows]
        good = tuple(pair for pair in parsed if pair is not None)
        self._compare_rows(good)
        return good

    def _table(self) -> tuple[list[str], list[tuple[int, list[str]]]] | None:
        text = self._text()
        if text is None:
            return None
        header = text.split("\n", 1)[0]
        delimiter = "\t" if "\t" in header or self.path.suffix.lower() == ".tsv" else ","
        if ";" in header and delimiter not in header:
            self.complain("is separated by semicolons", "use tabs (TSV) or commas (CSV)", 1)
            return None
        try:
            lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        except csv.Error as error:
            self.complain(f"is no table ({error})", "check quotes and line ends")
            return None
        if not lines or not any(lines[0]):
            self.complain("is empty", "give a header and one row for each pair")
            return None
        columns = [cell.strip() for cell in lines[0]]
        rows = []
        for number, cells in enumerate(lines[1:], start=2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                self.complain(
                    f"has {len(cells)} cells, the header has {len(columns)}", "complete the row", number
                )
                continue
            rows.append((number, [cell.strip() for cell in cells]))
        return columns, rows

    def _text(self) -> str | None:
        if not self.path.exists():
            self.complain(
                "does not exist",
                "correct `manifest` in the configuration (relative to it)",
                column="manifest",
            )
            return None
        if not self.path.is_file():
            self.complain("is no regular file", "give a TSV or CSV file as `manifest`", column="manifest")
            return None
        raw = self.path.read_bytes()
        if raw[:2] == b"PK":
            self.complain("is a spreadsheet, not text", "save it as TSV or CSV in UTF-8")
            return None
        if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\x00" in raw:
            self.complain("is not UTF-8 (UTF-16 or binary)", "save it as UTF-8 text")
            return None
        try:
            return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            row = raw.count(b"\n", 0, error.start) + 1
            self.complain("is not UTF-8 (Latin-1?)", "save it as UTF-8 text", row)
            return None

    def _columns_are_sound(self, columns: list[str]) -> bool:
        before = len(self.faults)
        for name in sorted({name for name in columns if columns.count(name) > 1}):
            self.complain("stands twice in the header", "keep one of them", 1, name or "(blank)")
        wanted = [*REQUIRED, *([self.stratum] if self.stratum else [])]
        for name in wanted:
            if name not in columns:
                near = difflib.get_close_matches(name, columns, n=1)
                hint = f"rename {near[0]!r} to {name!r}" if near else f"add a column {name!r}"
                self.complain("is missing from the header", hint, 1, name)
        known = {*REQUIRED, *OPTIONAL, self.stratum}
        for name in columns:
            near = difflib.get_close_matches(name, OPTIONAL, n=1, cutoff=0.8)
            if name not in known and near and near[0] not in columns:
                self.complain(
                    "is an unknown column and is ignored", f"did you mean {near[0]!r}?", 1, name, warn=True
                )
        return len(self.faults) == before or all(f.severity == "WARNING" for f in self.faults[before:])

    def _pair(self, row: int, cells: dict[str, str]) -> Pair | None:
        before = len(self.faults)
        for column in ("pair", "patient"):
            self._check_id(row, column, cells[column])
        paths = {name: self._file(row, name, cells.get(name, "")) for name in (*IMAGES, *LABELS)}
        for name in ("labels", "points"):
            sides = (cells.get(f"moving_{name}", ""), cells.get(f"fixed_{name}", ""))
            if bool(sides[0]) != bool(sides[1]):
                blank = f"moving_{name}" if not sides[0] else f"fixed_{name}"
                self.complain("is blank, the other side is not", "give both or neither", row, blank)
        chosen = cells.get("set", "") or "cv"
        if chosen not in SETS:
            self.complain(f"is {chosen!r}", f"use one of {', '.join(SETS)}", row, "set")
        fold = cells.get("fold", "")
        if fold and not re.fullmatch(r"\d{1,3}", fold):
            self.complain(f"is {fold!r}", "use a whole number from 0", row, "fold")
        moving, fixed = paths["moving_image"], paths["fixed_image"]
        if any(fault.severity == "ERROR" for fault in self.faults[before:]) or not moving or not fixed:
            return None
        return Pair(
            id=cells["pair"],
            patients=(cells["patient"],),
            moving=moving,
            fixed=fixed,
            moving_labels=paths["moving_labels"],
            fixed_labels=paths["fixed_labels"],
            moving_points=paths["moving_points"],
            fixed_points=paths["fixed_points"],
            initial_transform=paths["initial_transform"],
            set=chosen,  # type: ignore[arg-type] # one of SETS
            fold=int(fold) if fold and chosen == "cv" else None,
            stratum=cells.get(self.stratum, "") if self.stratum else None,
            row=row,
        )

    def _check_id(self, row: int, column: str, value: str) -> None:
        if not value:
            self.complain("is blank", "give an id", row, column)
        elif not ID.fullmatch(value):
            fix = "use letters, digits, _ and -, at most 64, beginning with a letter or digit"
            self.complain(f"is no id: {value[:80]!a}", fix, row, column)
        elif column == "patient" and "--" in value:
            self.complain(f"{value!r} holds `--`, which joins two patients", "use one `-`", row, column)

    def _file(self, row: int, column: str, value: str) -> Path | None:
        if not value:
            if column in REQUIRED:
                self.complain("is blank", "give the path of an image", row, column)
            return None
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
            self.complain("is a URL", "download the file and give its path", row, column)
            return None
        if any(ord(character) < 32 for character in value):
            self.complain("holds control characters", "rename the file", row, column)
            return None
        path = self.path.parent / value
        if self.data_root is not None and not path.resolve().is_relative_to(self.data_root):
            self.complain("lies outside data_root", "move the file, or change `data_root`", row, column)
            return None
        return path

    def _compare_rows(self, rows: Sequence[Pair]) -> None:
        self._compare_ids(rows)
        for pair in rows:
            if pair.moving.resolve() == pair.fixed.resolve():
                self.complain("is the moving image too", "give two images", pair.row, "fixed_image")
        by_patient: dict[str, list[Pair]] = defaultdict(list)
        for pair in rows:
            by_patient[pair.patient].append(pair)
        for patient, own in by_patient.items():
            self._compare_patient(patient, own)
        folded = [pair for pair in rows if pair.fold is not None]
        for pair in rows:
            if folded and pair.set == "cv" and pair.fold is None:
                fix = "give every cross-validated pair its fold, or none"
                self.complain("is blank, other rows have a fold", fix, pair.row, "fold")

    def _compare_ids(self, rows: Sequence[Pair]) -> None:
        exact: dict[str, int] = {}
        folded: dict[str, tuple[str, int]] = {}
        for pair in rows:
            if pair.id in exact:
                self.complain(
                    f"{pair.id!r} stands in row {exact[pair.id]} too",
                    "give each pair its own id",
                    pair.row,
                    "pair",
                )
                continue
            exact[pair.id] = pair.row
            lower = pair.id.casefold()
            if lower in folded:
                self.complain(
                    f"{pair.id!r} differs from {folded[lower][0]!r} (row {folded[lower][1]}) only in case",
                    "rename one: some file systems cannot tell them apart",
                    pair.row,
                    "pair",
                )
            folded[lower] = (pair.id, pair.row)
        self._compare_zeros("pair", [(pair.id, pair.row) for pair in rows])
        self._compare_zeros("patient", [(pair.patient, pair.row) for pair in rows])

    def _compare_zeros(self, column: str, ids: Iterable[tuple[str, int]]) -> None:
        seen: dict[str, str] = {}
        for name, row in ids:
            short = name.casefold().lstrip("0")
            other = seen.setdefault(short, name)
            if other != name and other.casefold() != name.casefold():
                message = f"{name!r} and {other!r} differ only in leading zeros"
                self.complain(message, "make sure that they are two", row, column, warn=True)
            elif other != name and column == "patient":
                message = f"{name!r} and {other!r} differ only in case"
                self.complain(message, "write a patient's id in one way", row, column)

    def _compare_patient(self, patient: str, own: Sequence[Pair]) -> None:
        sets = sorted({pair.set for pair in own})
        if len(sets) > 1 and "test" in sets:
            rows = ", ".join(str(pair.row) for pair in own)
            message = f"patient {patient!r} is in {' and '.join(sets)} (rows {rows})"
            self.complain(message, "a tested patient must never be trained on", own[0].row, "set")
        if len(sets) > 1 and "test" not in sets:
            message = f"patient {patient!r} is both always trained on and cross-validated"
            self.complain(message, "give all pairs of a patient one set", own[0].row, "set")
        folds = sorted({pair.fold for pair in own if pair.fold is not None})
        if len(folds) > 1:
            message = f"patient {patient!r} is in folds {', '.join(map(str, folds))}"
            self.complain(message, "give all pairs of a patient one fold", own[0].row, "fold")
