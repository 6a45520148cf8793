"""The parts of the page, and its rendering as one HTML file without external references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        numeric: whether its cells are figures, aligned to the right.
        group: a heading above, shared with neighbours of the same group.
    """

    title: str
    numeric: bool = True
    group: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row is the row's header.

    Attributes:
        caption: what it shows.
        columns: its columns.
        rows: cells as text.
        note: what to know when reading it.
        more: how many rows are left out and where to find them; empty if none.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    more: str = ""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The upper row of headings with their spans; empty if no column has a group."""
        if not any(column.group for column in self.columns):
            return []
        return [
            (name, len(list(members)))
            for name, members in groupby(self.columns, key=lambda column: column.group)
        ]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption."""

    drawing: Markup
    caption: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One main figure: title, before, after, and details."""

    title: str
    before: str
    after: str
    detail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Figures and tables under a small heading.

    Attributes:
        title: the heading, or empty.
        text: a paragraph before them, or empty.
        figures: drawn two in a row.
        tables: one below the other.
        wide: whether each figure takes the whole width.
        beside: whether tables stand side by side if there is room.
    """

    title: str = ""
    text: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    wide: bool = False
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page that the table of contents lists."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """The content of the report, in reading order."""

    title: str
    subtitle: str
    summary: tuple[str, ...]
    cautions: tuple[str, ...]
    cards: tuple[Card, ...] = ()
    cards_of: str = ""
    sections: tuple[Section, ...] = field(default=())
    colophon: str = ""


def limited(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[tuple[str, ...]],
    *,
    most: int,
    where: str,
    note: str = "",
) -> Table:
    """A table of at most `most` rows that says how many more there are, and where."""
    left = len(rows) - most
    remark = f"{left} more in {where}" if left > 0 else ""
    return Table(caption, tuple(columns), tuple(rows[:most]), note, remark)


def render(page: Page) -> str:
    """The page as HTML; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("tenter.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source, _, _ = PackageLoader("tenter.reporting").get_source(environment, "report.css")
    css = Markup(source)  # noqa: S704 - the package's own style sheet
    return environment.get_template("report.html.j2").render(page=page, css=css)
