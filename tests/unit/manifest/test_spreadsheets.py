"""Tables as spreadsheets and programs write them: encodings, separators, cells without a value."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter import manifest
from tenter.manifest import encoding
from tenter.records import Fault, Pair

COLUMNS = ("pair", "patient", "moving_image", "fixed_image", "note")
ROWS = (
    ("a", "P1", "ma.nii", "größe ß.nii", "Müller \u2013 5 µm"),
    ("b", "P2", "mb.nii", "fb.nii", ""),
)


def text(separator: str = ",", line_end: str = "\r\n") -> str:
    return line_end.join(separator.join(cells) for cells in (COLUMNS, *ROWS)) + line_end


def scan(
    folder: Path, raw: bytes, name: str = "table.csv"
) -> tuple[tuple[Pair, ...], tuple[Fault, ...]]:
    path = folder / name
    path.write_bytes(raw)
    cohort, faults = manifest.scan(path)
    return cohort.pairs, faults


def complaints(folder: Path, raw: bytes, name: str = "table.csv") -> list[str]:
    return [str(fault).replace(f"{folder}/", "") for fault in scan(folder, raw, name)[1]]


def assert_read(pairs: tuple[Pair, ...]) -> None:
    assert [pair.id for pair in pairs] == ["a", "b"]
    assert [pair.fixed.name for pair in pairs] == ["größe ß.nii", "fb.nii"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "mark",
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16", b""),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32", b""),
    ],
)
def test_marked_encodings_and_any_separator_need_no_word(
    tmp_path: Path, separator: str, mark: tuple[str, bytes]
) -> None:
    name, start = mark
    pairs, faults = scan(tmp_path, start + text(separator).encode(name))
    assert_read(pairs)
    assert faults == ()


@pytest.mark.parametrize(
    ("name", "title"), [("cp1252", "Windows-1252"), ("mac_roman", "Mac Roman")]
)
@pytest.mark.parametrize("separator", [";", "\t"])
def test_an_encoding_that_is_guessed_is_named_with_an_example(
    tmp_path: Path, name: str, title: str, separator: str
) -> None:
    pairs, faults = scan(tmp_path, text(separator).encode(name))
    assert_read(pairs)
    (fault,) = faults
    assert (fault.severity, fault.row) == ("WARNING", 2)
    assert fault.message == f"is not UTF-8; it was read as {title}, so that a cell is 'größe ß.nii'"


@pytest.mark.parametrize("name", ["cp1252", "mac_roman", "cp850"])
@pytest.mark.parametrize("letters", ["é.nii", "ü.nii", "Ñandú.nii", "Å.nii", "ç.nii"])
def test_files_that_exist_decide_on_the_encoding(tmp_path: Path, name: str, letters: str) -> None:
    (tmp_path / letters).touch()
    pairs, _ = scan(
        tmp_path, f"pair,patient,moving_image,fixed_image\na,P,m.nii,{letters}\n".encode(name)
    )
    assert pairs[0].fixed.name == letters


@given(names=st.lists(st.text("äöüßéèàçñÄÖÜ", min_size=1, max_size=5), min_size=1, max_size=5))
def test_western_letters_of_windows_are_read_as_such(names: list[str]) -> None:
    raw = ",".join(names).encode("cp1252")
    try:
        expected = raw.decode("utf-8")
    except UnicodeDecodeError:
        expected = ",".join(names)
    assert encoding.decode(raw, lambda _: False).text == expected


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"PK\x03\x04rest", "is a spreadsheet (.xlsx or .ods), not text; save it again as CSV"),
        (b"\xd0\xcf\x11\xe0rest", "is a spreadsheet (.xls), not text; save it again as CSV"),
        (b"\x1f\x8brest", "is compressed"),
        (b"pair,patient\na\x00,b\n", "table.csv:2: holds a zero byte: it is damaged, or not text"),
        (
            text().encode("utf-16-le"),
            "is UTF-16 text without its byte order mark; save it as UTF-8",
        ),
        (text().encode("utf-16")[:-1], "begins as UTF-16 text, but is not whole"),
        ("pair,patient\na,日本\n".encode("shift_jis"), "is not UTF-8"),
        (
            "pair,patient\na,Привет\n".encode("koi8_r"),
            "is not UTF-8; it was read as Windows-1252, so that",
        ),
        (b"pair,patient\na,\x81\x01\n", "its encoding cannot be determined; save it as UTF-8 text"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_table_are_named(tmp_path: Path, raw: bytes, message: str) -> None:
    assert any(message in line for line in complaints(tmp_path, raw))


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("form", ["sep={}\r\n", '"sep={}"\r\n', "sep={}\n"])
def test_excels_line_of_the_separator_is_obeyed(tmp_path: Path, sign: str, form: str) -> None:
    pairs, faults = scan(tmp_path, (form.format(sign) + text(sign)).encode())
    assert_read(pairs)
    assert [pair.row for pair in pairs] == [3, 4]
    assert faults == ()


@pytest.mark.parametrize("separator", [",", ";", "|"])
def test_a_tsv_of_other_signs_is_read_and_said(tmp_path: Path, separator: str) -> None:
    pairs, faults = scan(tmp_path, text(separator).encode(), "table.tsv")
    assert_read(pairs)
    assert [fault.severity for fault in faults] == ["WARNING"]
    assert "although its name ends with .tsv" in faults[0].message


@pytest.mark.parametrize("extra", [";", ";;;", "; ;"])
def test_columns_without_name_and_cell_do_not_count(tmp_path: Path, extra: str) -> None:
    lines = [line + extra for line in text(";", "\n").splitlines()]
    pairs, faults = scan(tmp_path, "\n".join([*lines, ";" * 9, ""]).encode())
    assert_read(pairs)
    assert faults == ()


@pytest.mark.parametrize("rows", [(0, 1), (1,)])
def test_a_nameless_column_with_cells_is_ignored_aloud(
    tmp_path: Path, rows: tuple[int, ...]
) -> None:
    cells = [("", *COLUMNS), *((str(i) if i in rows else "", *row) for i, row in enumerate(ROWS))]
    pairs, faults = scan(tmp_path, "\n".join(",".join(line) for line in cells).encode())
    assert_read(pairs)
    (fault,) = faults
    assert (
        fault.message == f"column 1 has no name and is ignored (row {rows[0] + 2} has a cell in it)"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a,P,m,f,n,more",
            "table.csv:2: has 6 cells, the header has 5; put a cell that holds the separator",
        ),
        ("a,P,m,f", "table.csv:2: has 4 cells, the header has 5; add the missing cells"),
        ('a,P,m,f,"open', "cannot be split into cells (unexpected end of data); double each quote"),
        ('a,P,m,f,"x"y', "cannot be split into cells"),
        ("a", "has 1 cells, the header has 5"),
    ],
)
def test_a_row_of_another_length_is_told_with_its_way_out(
    tmp_path: Path, line: str, message: str
) -> None:
    assert any(
        message in complaint
        for complaint in complaints(tmp_path, f"{','.join(COLUMNS)}\n{line}\n".encode())
    )


HEADER = "pair,patient,moving_image,fixed_image,moving_labels,fixed_labels,set,fold"


@pytest.mark.parametrize(
    "blank", ["", "NA", "n/a", "N/A", "NaN", "null", "None", "-", "\u2013", "#N/A"]
)
def test_a_word_for_nothing_is_a_blank_cell(tmp_path: Path, blank: str) -> None:
    raw = f"{HEADER}\na,P,m,f,{blank},{blank},{blank},{blank}\n".encode()
    (pair,), faults = scan(tmp_path, raw)
    assert (pair.moving_labels, pair.fixed_labels, pair.set, pair.fold) == (None, None, "cv", None)
    assert faults == ()


@pytest.mark.parametrize("name", ["NA", "none", "-"])
def test_a_file_that_is_called_so_is_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (pair,), _ = scan(tmp_path, f"{HEADER}\na,P,m,f,{name},x,,\n".encode())
    assert pair.moving_labels == tmp_path / name


@pytest.mark.parametrize("name", ["NA", "n/a", "nan"])
def test_an_image_cannot_be_nothing(tmp_path: Path, name: str) -> None:
    texts = complaints(tmp_path, f"{HEADER}\na,P,{name},f,,,,\n".encode())
    assert texts == [f"ERROR table.csv:2:moving_image: is {name!r}; give the path of an image"]


@pytest.mark.parametrize(
    ("cell", "fold"), [("1", 1), ("1.0", 1), ("1,0", 1), ("2.", 2), ("0", 0), ("012", 12)]
)
def test_a_fold_may_be_written_as_spreadsheets_do(tmp_path: Path, cell: str, fold: int) -> None:
    (pair,), faults = scan(tmp_path, f"{HEADER.replace(',', ';')}\na;P;m;f;;;;{cell}\n".encode())
    assert (pair.fold, faults) == (fold, ())


@pytest.mark.parametrize("cell", ["1.5", "-1", "x", "1e0", "٣"])
def test_a_fold_that_is_not_whole_is_refused(tmp_path: Path, cell: str) -> None:
    assert (
        "use a whole number from 0"
        in complaints(tmp_path, f"{HEADER}\na,P,m,f,,,,{cell}\n".encode())[0]
    )


@pytest.mark.parametrize(
    ("header", "fix"),
    [
        ("Pair,patient,moving_image,fixed_image", "rename 'Pair' to 'pair'"),
        ("pair,patient,moving image,fixed_image", "rename 'moving image' to 'moving_image'"),
        ("pair,patient,Moving-Image,fixed_image", "rename 'Moving-Image' to 'moving_image'"),
        ("pair\u200b,patient,moving_image,fixed_image", "to 'pair' (U+200B against nothing)"),
        (
            "pair,patient,moving_image,\ufeffﬁxed_image",
            "to 'fixed_image' (U+FEFF U+FB01 against U+0066 U+0069)",
        ),
        ("pair,patient,moving_image,fixed_labels", "add a column 'fixed_image'"),
        ("pair,patient,fixed_image,moving_labels", "add a column 'moving_image'"),
        ("pair,patient,moving_image,fixed_points", "add a column 'fixed_image'"),
        ("pair,moving_image,fixed_image,set", "add a column 'patient'"),
    ],
)  # fmt: skip
def test_a_missing_column_is_renamed_from_none_that_means_another(
    tmp_path: Path, header: str, fix: str
) -> None:
    (line,) = complaints(tmp_path, f"{header}\na,b,c,d\n".encode())
    assert fix in line
