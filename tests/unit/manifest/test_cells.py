"""Cells as people write them: paths with any sign in them, and names that look alike."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter import manifest, spelling
from tenter.records import Fault

HEADER = "pair\tpatient\tmoving_image\tfixed_image\tmoving_labels\tfixed_labels"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("DATA", "/data/my cohort")
    monkeypatch.delenv("NOWHERE", raising=False)


def table(folder: Path, *rows: str) -> Path:
    path = folder / "table.tsv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def scan(folder: Path, *rows: str) -> tuple[Fault, ...]:
    return manifest.scan(table(folder, *rows))[1]


def image(folder: Path, cell: str) -> Path:
    cohort, _ = manifest.scan(table(folder, f"a\tP\t{cell}\tf.nii\t\t"))
    return cohort.pairs[0].moving


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        ("~/m.nii", "/home/ann/m.nii"),
        ("$DATA/m.nii", "/data/my cohort/m.nii"),
        ("${DATA}/m.nii", "/data/my cohort/m.nii"),
        ("/abs/m.nii", "/abs/m.nii"),
        ("a$$b.nii", "{}/a$b.nii"),
        ("{P01}/m.nii", "{}/{P01}/m.nii"),
        ("<logs>/ä #?'`&;.nii", "{}/<logs>/ä #?'`&;.nii"),
    ],
)
def test_a_path_is_written_out_and_else_taken_as_it_is(
    tmp_path: Path, cell: str, path: str
) -> None:
    assert image(tmp_path, cell) == Path(path.replace("{}", str(tmp_path)))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("$NOWHERE/m.nii", "names the environment variable 'NOWHERE', which is not set"),
        ("~nobody-here/m.nii", "which is not the home of a user"),
        ("{chunk}/m.nii", "holds `{chunk}`, which the workflow replaces in paths"),
        ("x{fold}.nii", "holds `{fold}`"),
        ("{model,a}/m.nii", "holds `{model}`"),
        ("m\x07.nii", "holds a control character: 'm\\x07.nii' (with U+0007 control character)"),
        ("C:\\data\\m.nii", "is a Windows path"),
        ("\\\\server\\m.nii", "is a Windows path"),
        ("file:///m.nii", "is a URL"),
        ("x" * 300, "has a name of 300 bytes, more than the file system allows"),
        ("ä" * 200, "has a name of 400 bytes"),
    ],
)
@pytest.mark.parametrize("column", [2, 4])
def test_what_names_no_file_is_told_with_row_and_column(
    tmp_path: Path, cell: str, message: str, column: int
) -> None:
    cells = ["a", "P", "m.nii", "f.nii", "l.nii", "k.nii"]
    cells[column] = cell
    fault = next(fault for fault in scan(tmp_path, "\t".join(cells)) if fault.severity == "ERROR")
    assert (fault.row, fault.column) == (2, HEADER.split("\t")[column])
    assert message in str(fault)


@pytest.mark.parametrize("kind", ["itself", "two", "above", "label", "in a folder"])
def test_a_link_that_leads_back_to_itself_is_told_with_row_and_column(
    tmp_path: Path, kind: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    cells = {"itself": "loop", "two": "one", "above": "loop/m.nii"}.get(kind, "m.nii")
    label = "loop" if kind == "label" else "l.nii"
    (tmp_path / "series").mkdir()
    (tmp_path / "series/slice").symlink_to("slice")
    if kind == "in a folder":
        assert manifest.files_behind(tmp_path / "series") == (tmp_path / "series/slice",)
        return
    (fault,) = scan(tmp_path, f"a\tP\t{cells}\tf.nii\t{label}\tk.nii")
    assert fault.message == "is a link that leads back to itself"
    assert (fault.row, fault.column) == (2, "moving_labels" if kind == "label" else "moving_image")


@pytest.mark.parametrize("name", ["loop", "loop/x", "x" * 300, "ä" * 200, "closed/x"])
def test_files_behind_a_path_that_cannot_be_looked_up_are_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert manifest.files_behind(tmp_path / name) == (tmp_path / name,)


def test_a_bad_id_hides_no_other_fault_of_its_row(tmp_path: Path) -> None:
    cells = [
        (fault.row, fault.column) for fault in scan(tmp_path, "b d\tP 1\t$NOWHERE\tf.nii\tl.nii\t")
    ]
    assert cells == [(2, "fixed_labels"), (2, "moving_image"), (2, "pair"), (2, "patient")]


@pytest.mark.parametrize(("pair", "patient"), [("a b", "P"), ("", "P"), ("a", "ü"), ("a", "")])
def test_the_files_of_a_row_with_a_bad_id_are_looked_at(
    tmp_path: Path, pair: str, patient: str
) -> None:
    cohort, faults = manifest.scan(table(tmp_path, f"{pair}\t{patient}\tm.nii\tf.nii\t\t"))
    assert [path.name for path in cohort.pairs[0].files()] == ["m.nii", "f.nii"]
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("value", "message", "fix"),
    [
        ("Müller", "is not an id: 'Müller'", "write 'Mueller', or use letters"),
        ("Mu\u0308ller", "with U+0308 combining diaeresis", "write 'Mueller'"),
        ("a\u00a0b", "with U+00A0 no-break space", "write 'a-b'"),
        ("a\u200bb", "with U+200B zero width space", "write 'ab'"),
        ("\u202eab", "with U+202E right-to-left override", "write 'ab'"),
        ("a/b", "is not an id: 'a/b'", "write 'a-b'"),
        ("日本", "is not an id: '日本'", "use letters (without accents)"),
        ("x" * 65, "has 65 characters", "use at most 64"),
    ],
)
def test_what_is_no_id_is_shown_with_what_cannot_be_seen(
    tmp_path: Path, value: str, message: str, fix: str
) -> None:
    (fault,) = scan(tmp_path, f"{value}\tP\tm.nii\tf.nii\t\t")
    assert message in fault.message
    assert fault.fix.startswith(fix)


@pytest.mark.parametrize("name", ["CON", "nul", "Aux", "COM1", "lpt9"])
def test_an_id_that_windows_keeps_for_itself_is_warned_of(tmp_path: Path, name: str) -> None:
    (fault,) = scan(tmp_path, f"{name}\tP\tm.nii\tf.nii\t\t")
    assert (fault.severity, fault.column) == ("WARNING", "pair")
    assert "is the name of a device on Windows" in fault.message


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("con.nii", "'con.nii' is the name of a device on Windows"),
        ("a:b.nii", "'a:b.nii' holds :, which Windows does not allow"),
        ("a?/m.nii", "'a?' holds ?, which"),
        ("dir./m.nii", "'dir.' ends with a dot, which Windows drops"),
        ("F.nii", "'f.nii' differs from 'F.nii' (row 2) only in case"),
    ],
)
def test_a_name_that_other_systems_cannot_have_is_warned_of(
    tmp_path: Path, cell: str, message: str
) -> None:
    (fault,) = scan(tmp_path, f"a\tP\t{cell}\tf.nii\t\t")
    assert (fault.severity, fault.row) == ("WARNING", 2)
    assert message in fault.message


@pytest.mark.parametrize(
    ("first", "second", "signs"),
    [
        ("ü.nii", "u\u0308.nii", "U+0075 U+0308 against U+00FC"),
        ("a b.nii", "a\u00a0b.nii", "U+00A0 against U+0020"),
        ("ab.nii", "a\u200bb.nii", "U+200B against nothing"),
        ("ﬁ.nii", "fi.nii", "U+0066 U+0069 against U+FB01"),
        ("Å.nii", "\u212b.nii", "U+212B against U+00C5"),
    ],
)
def test_files_that_look_alike_are_told_apart(
    tmp_path: Path, first: str, second: str, signs: str
) -> None:
    (fault,) = scan(tmp_path, f"a\tP\t{first}\t{second}\t\t")
    assert (fault.severity, fault.column) == ("WARNING", "fixed_image")
    assert f"looks like the file of row 2 ({signs})" in fault.message


@given(
    name=st.text(
        st.characters(exclude_characters='\t\n\r/$~{\\":', exclude_categories=("Cc", "Cs")),
        min_size=1,
        max_size=20,
    )
)
def test_any_name_of_a_file_is_taken_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    cell = f"d/x{name}x"
    cohort, faults = manifest.scan(table(folder, f"a\tP\t{cell}\tf.nii\t\t"))
    assert not [fault for fault in faults if fault.severity == "ERROR"]
    assert str(cohort.pairs[0].moving) == f"{folder}{os.sep}{cell}"


@given(first=st.text(max_size=12), second=st.text(max_size=12))
def test_a_difference_is_said_of_names_that_differ_and_of_no_others(
    first: str, second: str
) -> None:
    assert bool(spelling.difference(first, second)) == (first != second)


@given(name=st.text(max_size=80))
def test_a_plain_name_is_an_id_or_nothing(name: str) -> None:
    plain = spelling.plain(name)
    assert plain == "" or manifest.ID.fullmatch(plain)
