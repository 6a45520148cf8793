from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tenter import manifest
from tenter.errors import InputError

HEADER = "pair\tpatient\tmoving_image\tfixed_image"


def table(folder: Path, *rows: str, header: str = HEADER, name: str = "manifest.tsv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def complaints(path: Path, data_root: Path | None = None) -> list[str]:
    _, faults = manifest.scan(path, None, data_root)
    return [str(fault) for fault in faults]


def test_paths_are_relative_to_the_table(tmp_path: Path) -> None:
    (pair,) = manifest.read(table(tmp_path, "a\tP1\tm.nii\tf.nii"))
    assert pair.moving == tmp_path / "m.nii"


def test_ids_are_text(tmp_path: Path) -> None:
    rows = [f"{name}\t{name}\tm{name}.nii\tf.nii" for name in ("0007", "1e5", "NA", "True")]
    assert [pair.id for pair in manifest.read(table(tmp_path, *rows))] == [
        "0007",
        "1e5",
        "NA",
        "True",
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_bom_line_ends_order_and_extra_columns_do_not_matter(tmp_path: Path, line_end: str) -> None:
    text = line_end.join(["note,fixed_image,pair,patient,moving_image", "x,f.nii,a,P1,m.nii", ""])
    path = tmp_path / "manifest.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    (pair,) = manifest.read(path)
    assert (pair.id, pair.patient, pair.moving.name, pair.fixed.name) == (
        "a",
        "P1",
        "m.nii",
        "f.nii",
    )


def test_every_fault_is_told_in_one_pass(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1\tm.nii\tf.nii", "a\tP1\tm2.nii\tf2.nii", "-b\t\tm3.nii\tf3.nii")
    text = "\n".join(complaints(path))
    assert f"ERROR {path}:3:pair: 'a' is already in row 2" in text
    assert f"ERROR {path}:4:pair: is not an id" in text
    assert f"ERROR {path}:4:patient: is blank" in text


@pytest.mark.parametrize(
    "bad",
    [
        "../x",
        "/abs",
        "a/b",
        ".",
        "..",
        ".x",
        "-x",
        "a;b",
        "a$(touch x)",
        "a`b`",
        "a'b",
        "a{b}",
        "é",
    ],
)
def test_ids_outside_the_pattern_are_refused(tmp_path: Path, bad: str) -> None:
    assert any(
        ":2:pair: is not an id" in line
        for line in complaints(table(tmp_path, f"{bad}\tP1\tm.nii\tf.nii"))
    )


def test_a_misspelt_column_is_suggested(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1\tm\tf", header="pair\tpatient\tmoving_imge\tfixed_image")
    assert complaints(path) == [
        (
            f"ERROR {path}:1:moving_image: is missing from the header; "
            "rename 'moving_imge' to 'moving_image'"
        )
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (HEADER.encode() + b"\n", "holds no pairs"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (HEADER.encode() + b"\na\tP\tm\n", "has 3 cells, the header has 4"),
        (HEADER.encode() + b"\tpair\na\tP\tm\tf\ta\n", "occurs twice"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_reason(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "manifest.tsv"
    path.write_bytes(content)
    assert any(message in line for line in complaints(path))


def test_missing_file_names_the_configuration_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tsv:manifest: does not exist"):
        manifest.read(tmp_path / "nowhere.tsv")


def test_a_patient_cannot_be_tested_and_trained_on(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1\tm\tf\tcv", "b\tP1\tm2\tf2\ttest", header=f"{HEADER}\tset")
    assert any("patient 'P1' is in cv and test" in line for line in complaints(path))


def test_a_patient_has_one_fold(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1\tm\tf\t0", "b\tP1\tm2\tf2\t1", header=f"{HEADER}\tfold")
    assert any("is in folds 0, 1" in line for line in complaints(path))


def test_ids_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1\tm\tf", "A\tP2\tm2\tf2")
    assert any("only in case" in line for line in complaints(path))


def test_labels_on_one_side_only_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1\tm\tf\tl\t", header=f"{HEADER}\tmoving_labels\tfixed_labels")
    assert any(
        ":2:fixed_labels: is blank, the other side is not" in line for line in complaints(path)
    )


@pytest.mark.parametrize("alias", ["m.nii", "../data/m.nii", "link.nii", "folder/m.nii"])
def test_an_image_is_not_registered_to_itself_by_any_name(tmp_path: Path, alias: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "link.nii").symlink_to("m.nii")
    (data / "folder").symlink_to(".")
    assert "is the moving image too" in complaints(table(data, f"a\tP1\tm.nii\t{alias}"))[0]
    assert not complaints(table(data, "a\tP1\tm.nii\tf.nii"))


def test_data_root_confines_every_path(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1\t/etc/passwd\t../../f.nii")
    lines = complaints(path, data_root=tmp_path)
    assert [line.split(":")[2] for line in lines] == ["fixed_image", "moving_image"]


def test_urls_are_refused(tmp_path: Path) -> None:
    assert any(
        "is a URL" in line for line in complaints(table(tmp_path, "a\tP1\thttps://x/m.nii\tf.nii"))
    )


def test_a_thousand_rows_take_no_time_worth_naming(tmp_path: Path) -> None:
    path = table(tmp_path, *(f"p{i}\tP{i // 2}\tm{i}.nii\tf{i}.nii" for i in range(1000)))
    assert len(manifest.read(path)) == 1000


def test_a_folder_stands_for_the_slices_in_it(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden", "DICOMDIR"):
        (tmp_path / name).write_text("x")
    (tmp_path / "below").mkdir()
    assert manifest.files_behind(tmp_path) == (tmp_path / "a", tmp_path / "b")
    assert manifest.files_behind(tmp_path / "below") == (tmp_path / "below",)


@pytest.mark.parametrize(
    ("name", "text", "voxels"),
    [
        ("a.mhd", "NDims = 3\nElementDataFile = my a.raw\n", "my a.raw"),
        ("a.mhd", "NDims = 3\nElementDataFile = LOCAL\n", None),
        ("a.mhd", "NDims = 3\nElementDataFile = absent.raw\n", None),
        ("a.nhdr", "NRRD0004\ntype: short\ndata file: a.img\n", "a.img"),
        ("a.nhdr", "NRRD0004\ndatafile: ./a.img\n\n", "a.img"),
        ("a.hdr", "", "a.img"),
        ("a.img", "", "a.hdr"),
        ("a.nii.gz", "", None),
        ("none.mhd", None, None),
    ],
)
def test_a_header_stands_for_its_voxels_too(
    tmp_path: Path, name: str, text: str | None, voxels: str | None
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    if voxels is not None:
        (tmp_path / voxels).write_text("x")
    assert manifest.files_behind(tmp_path / name) == tuple(
        tmp_path / file for file in (name, voxels) if file
    )


def test_data_root_confines_the_slices_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data" / "series").mkdir(parents=True)
    path = table(tmp_path / "data", "a\tP1\tseries\tf.nii")
    (tmp_path / "data" / "series" / "1.dcm").write_text("x")
    assert complaints(path, data_root=tmp_path / "data") == []
    (tmp_path / "outside.dcm").write_text("x")
    (tmp_path / "data" / "series" / "2.dcm").symlink_to(tmp_path / "outside.dcm")
    (line,) = complaints(path, data_root=tmp_path / "data")
    assert ":2:moving_image: lies outside data_root" in line


def test_a_pair_may_be_of_two_patients(tmp_path: Path) -> None:
    (pair,) = manifest.read(table(tmp_path, "a\tP1--P2\tm.nii\tf.nii"))
    assert pair.patients == ("P1", "P2")
    assert pair.patient == "P1--P2"


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        ("P1--", "is blank"),
        ("P1--P2--P3", "joins more than two patients"),
        ("P1---P2", "is not an id: '-P2'"),
    ],
)
def test_two_patients_are_two_ids(tmp_path: Path, patient: str, message: str) -> None:
    lines = complaints(table(tmp_path, f"a\t{patient}\tm.nii\tf.nii"))
    assert [line for line in lines if ":2:patient: " in line and message in line]


def test_two_patients_have_no_single_fold(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1--P2\tm\tf\t0", header=f"{HEADER}\tfold")
    assert any(":2:fold: is one fold for two patients" in line for line in complaints(path))


def test_a_second_patient_cannot_be_tested_and_trained_on(tmp_path: Path) -> None:
    rows = ("a\tP1--P2\tm\tf\tcv", "b\tP3--P2\tm2\tf2\ttest")
    lines = complaints(table(tmp_path, *rows, header=f"{HEADER}\tset"))
    assert any("patient 'P2' is in cv and test" in line for line in lines)


def own_loop(folder: Path) -> str:
    (folder / "m.nii").symlink_to("m.nii")
    return "m.nii"


def loop_of_two(folder: Path) -> str:
    (folder / "m.nii").symlink_to("n.nii")
    (folder / "n.nii").symlink_to("m.nii")
    return "m.nii"


def looping_folder(folder: Path) -> str:
    (folder / "images").symlink_to("images")
    return "images/m.nii"


def link_to_a_loop(folder: Path) -> str:
    (folder / "loop").symlink_to("loop")
    (folder / "m.nii").symlink_to("loop")
    return "m.nii"


def loop_through_a_folder(folder: Path) -> str:
    (folder / "sub").mkdir()
    (folder / "sub" / "m.nii").symlink_to("../back/m.nii")
    (folder / "back").symlink_to("sub")
    return "sub/m.nii"


@pytest.mark.parametrize(
    "make", [own_loop, loop_of_two, looping_folder, link_to_a_loop, loop_through_a_folder]
)
@pytest.mark.parametrize("rooted", [False, True])
def test_a_loop_of_links_is_a_fault_with_row_and_column(
    tmp_path: Path,
    make: Callable[[Path], str],
    rooted: bool,  # noqa: FBT001 - parametrised
) -> None:
    path = table(tmp_path, f"a\tP1\tf.nii\t{make(tmp_path)}")
    (complaint,) = complaints(path, tmp_path if rooted else None)
    assert ":2:fixed_image: is a link that leads back to itself" in complaint


def test_a_loop_among_the_slices_of_a_folder_lies_outside_no_root(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").symlink_to("1.dcm")
    assert complaints(table(tmp_path, "a\tP1\tm.nii\tseries"), tmp_path) == []
