"""A table as text: its encoding, its separator, its header, and where a complaint belongs."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenter.records import Fault, Severity

Rows = list[tuple[int, dict[str, str]]]
"""1-based line and its cells by column."""


@dataclass
class Sheet:
    """One pass over a table, collecting faults.

    Attributes:
        path: TSV or CSV file, UTF-8.
        stratum: column whose values are spread evenly over folds.
        data_root: folder that every file must lie in, without links, or None.
        faults: what was found wrong so far.
    """

    path: Path
    stratum: str | None = None
    data_root: Path | None = None
    faults: list[Fault] = field(default_factory=list)

    def complain(
        self, message: str, fix: str, row: int | None = None, column: str | None = None, *, warn: bool = False
    ) -> None:
        """Add a fault."""
        severity: Severity = "WARNING" if warn else "ERROR"
        self.faults.append(Fault(str(self.path), message, fix, row, column, severity))

    def errors(self) -> int:
        """Number of faults so far that are no mere warnings."""
        return sum(fault.severity == "ERROR" for fault in self.faults)

    def table(self) -> tuple[list[str], Rows] | None:
        """Columns and rows; None, with a complaint, for what is no table."""
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
            self.complain("is empty", "give a header and one row for each pair or subject")
            return None
        columns = [cell.strip() for cell in lines[0]]
        return columns, self._rows(columns, lines)

    def header_is_sound(
        self, columns: Sequence[str], required: Sequence[str], optional: Sequence[str]
    ) -> bool:
        """Whether a header can be read; misspelt optional columns are warned of."""
        before = self.errors()
        for name in sorted({name for name in columns if columns.count(name) > 1}):
            self.complain("stands twice in the header", "keep one of them", 1, name or "(blank)")
        wanted = [*required, *([self.stratum] if self.stratum else [])]
        for name in wanted:
            if name not in columns:
                near = difflib.get_close_matches(name, columns, n=1)
                hint = f"rename {near[0]!r} to {name!r}" if near else f"add a column {name!r}"
                self.complain("is missing from the header", hint, 1, name)
        known = {*required, *optional, self.stratum}
        for name in columns:
            near = difflib.get_close_matches(name, optional, n=1, cutoff=0.8)
            if name not in known and near and near[0] not in columns:
                self.complain(
                    "is an unknown column and is ignored", f"did you mean {near[0]!r}?", 1, name, warn=True
                )
        return self.errors() == before

    def _rows(self, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> Rows:
        rows = []
        for number, cells in enumerate(lines[1:], start=2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                message = f"has {len(cells)} cells, the header has {len(columns)}"
                self.complain(message, "complete the row", number)
                continue
            rows.append((number, dict(zip(columns, (cell.strip() for cell in cells), strict=True))))
        return rows

    def _text(self) -> str | None:
        if not self.path.exists():
            fix = "correct `manifest` in the configuration (relative to it)"
            self.complain("does not exist", fix, column="manifest")
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
