"""The troubleshooting page quotes messages as the code has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/troubleshooting.md"
OTHERS = "Messages of other programs"
"""The section whose messages are not in this code."""

GAP = "\N{HORIZONTAL ELLIPSIS}"
"""Stands for what a message fills in, such as a path or a number."""


def _quoted() -> list[str]:
    """The first cell of each row of the page's tables, without its backticks."""
    ours = PAGE.read_text(encoding="utf-8").partition(f"## {OTHERS}")[0]
    cells = re.findall(r"^\| (`+) ?(.+?) ?\1 \|", ours, re.MULTILINE)
    return [text for _, text in cells]


def _messages() -> Iterator[str]:
    """Every string of the package and the workflow; a gap stands for each inserted value."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else GAP
                    for part in node.values
                )
    for path in (ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))):
        yield re.sub(r"\{[^{}]*\}", GAP, path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def messages() -> str:
    return "\n".join(_messages())


@pytest.mark.parametrize("quoted", _quoted())
def test_a_quoted_message_is_one_of_the_code(quoted: str, messages: str) -> None:
    pieces = [piece.strip() for piece in quoted.split(GAP) if piece.strip()]
    assert pieces
    assert [piece for piece in pieces if piece not in messages] == []


def test_the_page_quotes_many_messages() -> None:
    assert len(_quoted()) >= 60


def test_a_message_that_is_not_there_is_noticed(messages: str) -> None:
    assert "the moon is made of cheese" not in messages
