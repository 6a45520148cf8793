"""docs/reference/glossary.md: each word once, in order, and where readers find the page."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLES = (ROOT / "docs/reference/glossary.md").read_text(encoding="utf-8").split("\n## ")[1:]
WORDS = [re.findall(r"^\| (?!word|-)([^|]+) \|", table, re.MULTILINE) for table in TABLES]


def test_each_table_is_in_alphabetical_order() -> None:
    assert [sorted(words, key=str.lower) for words in WORDS] == WORDS


def test_no_word_is_explained_twice() -> None:
    words = [word for table in WORDS for word in table]
    assert len(words) == len(set(words)) > 40


def test_the_readme_links_the_page() -> None:
    assert "(docs/reference/glossary.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
