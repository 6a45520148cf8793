"""A table as text: its encoding, separator and header; collects faults with their location."""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenter import spelling
from tenter.manifest import encoding
from tenter.records import Fault, Severity

Rows = list[tuple[int, dict[str, str]]]
"""For each row its 1-based line and its cells by column."""

_SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars"}

_STATED = re.compile(r'"?sep=(?P<sign>.)"?[\t,;|]*')
"""Optional first line of Excel, which names the separator."""


@dataclass
class Sheet:
    """One pass over a table, collecting faults.

    Attributes:
        path: TSV or CSV file.
        stratum: column whose values are distributed evenly over folds.
        data_root: folder that must contain every file, with links resolved, or None.
        faults: faults found so far.
        names: visible form of each path so far, with the path and its row.
    """

    path: Path
    stratum: str | None = None
    data_root: Path | None = None
    faults: list[Fault] = field(default_factory=list)
    names: dict[str, tuple[str, int]] = field(default_factory=dict)

    def complain(
        self,
        message: str,
        fix: str,
        row: int | None = None,
        column: str | None = None,
        *,
        warn: bool = False,
    ) -> None:
        """Add a fault."""
        severity: Severity = "WARNING" if warn else "ERROR"
        self.faults.append(Fault(str(self.path), message, fix, row, column, severity))

    def errors(self) -> int:
        """Number of faults so far, without warnings."""
        return sum(fault.severity == "ERROR" for fault in self.faults)

    def table(self) -> tuple[list[str], Rows] | None:
        """Columns and rows; None, with a fault, if the file is not a table."""
        text = self._text()
        if text is None:
            return None
        first, _, remainder = text.partition("\n")
        stated = _STATED.fullmatch(first)
        start = 2 if stated else 1
        header = remainder.partition("\n")[0] if stated else first
        delimiter = stated["sign"] if stated else self._delimiter(header)
        lines = self._records(remainder if stated else text, delimiter, start)
        if lines is None:
            return None
        if not lines or not any(cell.strip() for cell in lines[0]):
            self.complain("is empty", "give a header and one row for each pair or subject")
            return None
        columns = self._named(lines, start)
        return list(columns), self._rows(columns, lines, start + 1)

    def header_is_sound(
        self, columns: Sequence[str], required: Sequence[str], optional: Sequence[str]
    ) -> bool:
        """Whether a header has the required columns; warns of misspelt optional ones."""
        before = self.errors()
        known = [*required, *optional, *([self.stratum] if self.stratum else [])]
        unknown = [name for name in columns if name not in known]
        for name in (*required, *([self.stratum] if self.stratum else [])):
            if name not in columns:
                near = _similar_column(name, unknown)
                hint = _rename_hint(near, name) if near else f"add a column {name!r}"
                self.complain("is missing from the header", hint, 1, name)
        for name in unknown:
            near = _similar_column(
                name, [column for column in optional if column not in columns], cutoff=0.8
            )
            if near:
                hint = (
                    _rename_hint(name, near)
                    if spelling.folded(name) == near
                    else f"did you mean {near!r}?"
                )
                self.complain("is an unknown column and is ignored", hint, 1, name, warn=True)
        return self.errors() == before

    def _text(self) -> str | None:
        if not os.path.lexists(self.path):
            near = spelling.nearby(self.path)
            message = "does not exist" + (f"; {near}" if near else "")
            self.complain(message, "correct `manifest` in the configuration", column="manifest")
            return None
        if not os.path.isfile(self.path):  # noqa: PTH113 - Path's raises where a name is too long
            message = (
                "is a link to a file that does not exist"
                if self.path.is_symlink()
                else "is not a file"
            )
            self.complain(message, "give a TSV or CSV file as `manifest`", column="manifest")
            return None
        try:
            decoded = encoding.decode(self.path.read_bytes(), self._is_file)
        except OSError as error:
            self.complain(
                f"cannot be read ({error.strerror})", "check its permissions", column="manifest"
            )
            return None
        except encoding.EncodingError as error:
            self.complain(str(error), error.fix, error.row)
            return None
        if decoded.guess:
            message = (
                f"is not UTF-8; it was read as {decoded.guess}, "
                f"so that a cell is {decoded.example[:60]!r}"
            )
            self.complain(message, "save it as UTF-8 text if that is wrong", decoded.row, warn=True)
        return decoded.text

    def _is_file(self, cell: str) -> bool:
        return os.path.exists(self.path.parent / cell)  # noqa: PTH110 - Path's may raise

    def _delimiter(self, header: str) -> str:
        """The separator of the header; the file's suffix decides if several or none are found."""
        usual = "\t" if self.path.suffix.lower() == ".tsv" else ","
        counts = {sign: header.count(sign) for sign in _SEPARATORS}
        if not any(counts.values()):
            return usual
        order = ["\t", *([usual] if usual != "\t" else []), ";", ",", "|"]
        delimiter = max(order, key=lambda sign: (counts[sign], -order.index(sign)))
        if self.path.suffix.lower() == ".tsv" and delimiter != "\t":
            message = (
                f"is separated by {_SEPARATORS[delimiter]}, although its name ends with .tsv; "
                "it was read as such"
            )
            self.complain(message, "rename it to .csv, or separate it by tabs", 1, warn=True)
        return delimiter

    def _records(self, text: str, delimiter: str, start: int) -> list[list[str]] | None:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            return list(reader)
        except csv.Error as error:
            fix = "double each quote inside a quoted cell, and close the quotes"
            self.complain(f"cannot be split into cells ({error})", fix, reader.line_num + start - 1)
            return None

    def _named(self, lines: Sequence[Sequence[str]], start: int) -> dict[str, int]:
        """Named columns, each with its index; warns of columns with cells but without a name."""
        header = [cell.strip() for cell in lines[0]]
        for index in (index for index, name in enumerate(header) if not name):
            holder = next((row for row, line in enumerate(lines) if _cell(line, index)), None)
            if holder is not None:
                message = (
                    f"column {index + 1} has no name and is ignored "
                    f"(row {holder + start} has a cell in it)"
                )
                self.complain(message, "name the column, or remove it", start, warn=True)
        for name in sorted({name for name in header if name and header.count(name) > 1}):
            self.complain("occurs twice in the header", "keep one of them", start, name)
        return {name: index for index, name in enumerate(header) if name}

    def _rows(self, columns: dict[str, int], lines: Sequence[Sequence[str]], start: int) -> Rows:
        """Cells by column; ignores blank cells beyond the last column, which spreadsheets add."""
        rows = []
        width = max(columns.values()) + 1
        for number, line in enumerate(lines[1:], start=start):
            if not any(cell.strip() for cell in line):
                continue
            if len(line) < width or any(cell.strip() for cell in line[len(lines[0]) :]):
                message = f"has {len(line)} cells, the header has {len(lines[0])}"
                self.complain(message, _cell_count_fix(len(line) - width), number)
                continue
            rows.append((number, {name: line[index].strip() for name, index in columns.items()}))
        return rows


def _cell(line: Sequence[str], index: int) -> str:
    return line[index].strip() if index < len(line) else ""


def _cell_count_fix(surplus: int) -> str:
    """Fix for a row whose length differs from the header's."""
    if surplus > 0:
        return (
            "put a cell that holds the separator in quotes, "
            "or remove the cells beyond the last column"
        )
    return "add the missing cells; one without a value is left blank between two separators"


def _similar_column(name: str, candidates: Sequence[str], cutoff: float = 0.6) -> str:
    """The candidate that was probably meant as `name`; '' if there is none."""
    forms = {_plain(candidate): candidate for candidate in reversed(candidates)}
    if _plain(name) in forms:
        return forms[_plain(name)]
    near = difflib.get_close_matches(_plain(name), forms, n=1, cutoff=cutoff)
    return forms[near[0]] if near else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s.-]+", "_", spelling.folded(name))


def _rename_hint(old: str, new: str) -> str:
    """How to rename a column, with the difference if both names look alike."""
    same = spelling.skeleton(old) == new
    return f"rename {old!r} to {new!r}" + (f" ({spelling.difference(old, new)})" if same else "")
