from __future__ import annotations

from html.parser import HTMLParser

from markupsafe import Markup

from tenter.reporting.page import Block, Card, Column, Figure, Page, Section, Table, limited, render

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Checks nesting, and keeps tags and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def table(cell: str = "1") -> Table:
    columns = (
        Column("Label", numeric=False),
        Column("before", group="Dice"),
        Column("after", group="Dice"),
    )
    return Table("Caption", columns, (("gland", cell, "2"),), note="a note")


def page(text: str = "text") -> Page:
    figure = Figure(Markup("<svg></svg>"), text, text)
    block = Block(text, text, (figure,), (table(text),))
    return Page(
        text,
        text,
        (text,),
        (text,),
        (Card(text, text, text, (text,)),),
        text,
        (Section("key", text, (block,), text),),
        text,
    )


def outline(text: str = "text") -> Outline:
    parsed = Outline()
    parsed.feed(render(page(text)))
    return parsed


def test_every_word_is_escaped() -> None:
    rendered = render(page(EVIL))
    assert "<script" not in rendered
    assert rendered.count("&lt;script&gt;") >= 15


def test_tags_are_nested() -> None:
    assert outline().open == []


def test_nothing_is_fetched() -> None:
    allowed = {"#result", "#key"}
    links = {
        value
        for _, attrs in outline().tags
        for name, value in attrs.items()
        if name in {"href", "src"}
    }
    assert links == allowed
    assert "url(" not in render(page())
    assert "@import" not in render(page())


def test_the_page_forbids_its_browser_to_fetch() -> None:
    policies = [
        attrs.get("content")
        for tag, attrs in outline().tags
        if tag == "meta" and "http-equiv" in attrs
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_tables_name_their_rows_and_columns() -> None:
    scopes = [attrs["scope"] for tag, attrs in outline().tags if tag == "th"]
    assert scopes == ["colgroup", "col", "col", "col", "row"]


def test_columns_of_a_group_share_a_head() -> None:
    assert table().groups == [("", 1), ("Dice", 2)]


def test_the_contents_name_every_section() -> None:
    identities = {attrs["id"] for tag, attrs in outline().tags if tag == "section"}
    assert identities == {"result", "key"}


def test_long_lists_say_how_much_they_leave_out() -> None:
    rows = [(str(index),) for index in range(12)]
    short = limited("Caption", [Column("n")], rows, most=10, where="metrics.tsv")
    assert (len(short.rows), short.more) == (10, "2 more in metrics.tsv")
