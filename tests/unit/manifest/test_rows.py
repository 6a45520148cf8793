"""The files with the rows of a job's pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenter import files
from tenter.errors import DataError
from tenter.manifest import rows
from tenter.manifest.rows import RowFiles
from tenter.records import ImagePair, Pair


def pair(name: str = "a", folder: Path = Path("cohort"), **values: object) -> Pair:
    named = {"id": name, "patients": (name,), "moving": folder / "m.nii", "fixed": folder / "f.nii"}
    return Pair(**(named | values))  # type: ignore[arg-type] # by name


LABELLED = pair(moving_labels=Path("cohort/ml.nii"), fixed_labels=Path("cohort/fl.nii"))


def row_files(root: Path, *pairs: Pair) -> RowFiles:
    return RowFiles(root / "rows", Path("cohort"), {"0-0": pairs})


def test_a_pair_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    complete = pair(initial_transform=Path("t.h5"), moving_points=Path("/p"), set="train", fold=2)
    files.write_text(tmp_path / "x.json", rows.text([complete, LABELLED], Path("cohort")))
    assert rows.read(tmp_path / "x.json") == (complete, LABELLED)
    assert rows.base(tmp_path / "x.json") == Path("cohort")


@pytest.mark.parametrize("stage", ["prepare_images", "infer"])
def test_files_of_stages_without_access_to_labels_name_none(tmp_path: Path, stage: str) -> None:
    written = row_files(tmp_path, LABELLED)
    written.write()
    for path in (written.path("0-0", stage), written.cohort):
        text = path.read_text()
        assert "m.nii" in text
        assert "label" not in text
        assert "ml.nii" not in text


def test_no_label_is_read_for_registration_even_from_a_file_that_names_one(tmp_path: Path) -> None:
    written = row_files(tmp_path, LABELLED)
    written.write()
    (image_pair,) = rows.read_images(written.path("0-0", "evaluate"))
    assert type(image_pair) is ImagePair


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    written = row_files(tmp_path, LABELLED)
    written.write()
    before = written.cohort.stat().st_ino
    written.write()
    assert written.cohort.stat().st_ino == before
    row_files(tmp_path, pair("b")).write()
    assert written.cohort.stat().st_ino != before


def test_files_of_chunks_that_are_gone_are_removed(tmp_path: Path) -> None:
    row_files(tmp_path, LABELLED).write()
    RowFiles(tmp_path / "rows", Path("cohort"), {"1-0": (pair("b"),)}).write()
    names = {path.name for path in (tmp_path / "rows").iterdir()}
    assert names == {"1-0.json", "1-0.images.json", "cohort.images.json"}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"moving": Path("cohort/n.nii")}, {"prepare_images", "evaluate"}),
        ({"set": "train"}, {"prepare_images", "evaluate"}),
        ({"moving_labels": Path("cohort/n.nii")}, {"prepare_labels", "evaluate"}),
        ({"fixed_points": Path("cohort/p.tsv")}, {"evaluate"}),
        ({"id": "b"}, set(rows.COMPARED)),
        ({"row": 7, "stratum": "x"}, set()),
    ],
)
def test_a_change_makes_those_stages_stale_that_use_it(
    tmp_path: Path, change: dict[str, object], stale: set[str]
) -> None:
    values = {name: getattr(LABELLED, name) for name in Pair.__dataclass_fields__}
    before, after = row_files(tmp_path, LABELLED), row_files(tmp_path, Pair(**(values | change)))
    differing = {x for x in rows.COMPARED if before.digest("0-0", x) != after.digest("0-0", x)}
    assert differing == stale


def test_the_digest_ignores_where_the_cohort_lies() -> None:
    digests = {
        RowFiles(Path("r"), folder, {"0-0": (pair(folder=folder),)}).digest("0-0", "evaluate")
        for folder in (Path("one"), Path("/somewhere/else"))
    }
    assert len(digests) == 1


def test_a_missing_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0-0\.json: does not exist; run the same snakemake"):
        rows.read(tmp_path / "0-0.json")


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    content = json.loads(rows.text([LABELLED], Path("cohort")))
    content["pairs"][0]["colour"] = "red"
    files.write_json(tmp_path / "x.json", content)
    with pytest.raises(DataError, match="unknown column 'colour'"):
        rows.read(tmp_path / "x.json")
