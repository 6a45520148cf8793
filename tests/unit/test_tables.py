from __future__ import annotations

from pathlib import Path

import pytest

from tenter import tables
from tenter.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    made = tmp_path / "a/x.bin"
    made.parent.mkdir()
    made.write_bytes(b"12345")
    tables.write(tmp_path / "t.tsv", [tables.entry("a", made, tmp_path, "f1")])
    return tmp_path / "t.tsv"


def test_a_whole_table_is_verified(table: Path, tmp_path: Path) -> None:
    (entry,) = tables.verified([table], tmp_path)["a"]
    assert (entry.file, entry.bytes, entry.fingerprint) == ("a/x.bin", 5, "f1")


@pytest.mark.parametrize(
    ("content", "word"), [(b"1234", "has 4 bytes"), (b"12346", "sha256 differs")]
)
def test_a_changed_file_is_named(table: Path, tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "a/x.bin").write_bytes(content)
    with pytest.raises(DataError, match=word):
        tables.verified([table], tmp_path)


def test_a_missing_file_is_named(table: Path, tmp_path: Path) -> None:
    (tmp_path / "a/x.bin").unlink()
    with pytest.raises(DataError, match=r"a: .*x\.bin: is missing"):
        tables.verified([table], tmp_path)


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("a\tb\n")
    with pytest.raises(DataError, match="lacks the columns"):
        tables.read(tmp_path / "t.tsv")


CHANGES = {"as written": "", "gone": "unlink", "longer": "xx", "shorter": "-"}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_table_is_whole_while_its_files_have_their_sizes(tmp_path: Path, change: str) -> None:
    (tmp_path / "p").mkdir()
    file = tmp_path / "p/a.txt"
    file.write_text("abc")
    tables.write(tmp_path / "t.tsv", [tables.entry("p", file, tmp_path, "f")])
    if change == "unlink":
        file.unlink()
    elif change:
        file.write_text(change)
    assert tables.is_whole(tmp_path / "t.tsv", tmp_path) == (not change)
