"""The page: what it consists of, and how it becomes one HTML file without any outside reference."""

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
        title: its head.
        numeric: whether its cells are figures, set flush right.
        group: a head above, shared with its neighbours of the same group.
    """

    title: str
    numeric: bool = True
    group: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row is the row's head.

    Attributes:
        caption: what it shows.
        columns: its columns.
        rows: cells as text.
        note: what to know when reading it.
        more: rows left out, and where they are to be found; empty if none.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    more: str = ""

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The upper row of heads with its spans; empty where no column has a group."""
        if not any(column.group for column in self.columns):
            return []
        return [
            (name, len(list(some))) for name, some in groupby(self.columns, key=lambda column: column.group)
        ]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption."""

    drawing: Markup
    caption: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One headline figure: what, before, after, and what lies behind it."""

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
        beside: whether tables stand side by side where there is room.
    """

    title: str = ""
    text: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    wide: bool = False
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page that the contents name."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """All that the report says, in the order in which it is said."""

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
    more = f"{left} more in {where}" if left > 0 else ""
    return Table(caption, tuple(columns), tuple(rows[:most]), note, more)


def render(page: Page) -> str:
    """The page as HTML; every word of it is escaped."""
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
