"""`tenter check` of what people's folders are like: results, the configuration's own,
names of files.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml

from builders import faulty_files
from tenter.errors import InputError
from tenter.intake import folders
from tenter.records import Fault
from tenter.stages.check import check
from tenter.study import Study


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return faulty_files.cohort(tmp_path / "study")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def told(config: Path, cache: Path | None = None) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        check(config, cache=cache)
    return caught.value.faults


def change(config: Path, **keys: object) -> None:
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump(content | keys, allow_unicode=True), encoding="utf-8")


@pytest.mark.parametrize("link", ["results", "results/small", "a/b", "../study/out"])
def test_results_that_are_a_link_to_nothing_are_told_with_the_command_that_helps(
    config: Path, tmp_path: Path, link: str
) -> None:
    results = link.removesuffix("/small")
    change(config, results=results)
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to(tmp_path / "scratch/me & co")
    (fault,) = told(config, cache=Path(results) / "small/cache/check.json")
    target = tmp_path / "scratch/me & co"
    assert (fault.file, fault.column) == (str(config), "results")
    assert f"{link} is a link to {target}, which does not exist" in fault.message
    assert f"`mkdir -p '{target}'`" in fault.fix
    target.mkdir(parents=True)
    check(config)


@pytest.mark.parametrize("folder", ["results", "results/small"])
def test_results_that_are_a_file_are_told(config: Path, folder: str) -> None:
    Path(folder).parent.mkdir(exist_ok=True)
    Path(folder).write_text("", encoding="utf-8")
    (fault,) = told(config)
    assert (fault.column, fault.message) == ("results", f"{folder} is not a folder")


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder read-only, also for an administrator, whom permissions do not hold."""
    allowed = os.access

    def access(path: os.PathLike[str] | str, mode: int) -> bool:
        closed = mode & os.W_OK and Path(path).resolve() == folder.resolve()
        return not closed and allowed(path, mode)

    monkeypatch.setattr(os, "access", access)


@pytest.mark.parametrize("results", ["results", "shared/results"])
def test_results_that_cannot_be_written_are_told(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: str
) -> None:
    change(config, results=results)
    Path("shared").mkdir()
    closed = tmp_path / Path(results).parent
    forbid(monkeypatch, closed)
    (fault,) = told(config)
    assert fault.message == f"{Path(results).parent} cannot be written to"


def test_a_configuration_in_a_read_only_folder_is_told_of_its_lock(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, config.parent)
    (fault,) = told(config)
    assert fault.file == str(config)
    assert (
        f"config.folds.tsv cannot be written to {config.parent}: it remembers which patient"
        in fault.message
    )
    assert "lies beside the configuration" in fault.message
    assert "copy the configuration to a folder of your own" in fault.fix


def test_a_lock_that_need_not_change_may_be_read_only(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Study.load(config).cohort.record_folds(Path("copy.tsv"))
    forbid(monkeypatch, config.parent)
    check(config)
    config.with_name("config.folds.tsv").unlink()
    assert "folds.tsv cannot be written" in told(config)[0].message


def test_drawn_pairs_need_their_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["subject\tpatient\timage", *(f"s{i}\tP{i}\ti{i}.nii" for i in range(5))]
    (tmp_path / "m.tsv").write_text("\n".join(rows), encoding="utf-8")
    content = {
        "study": "s",
        "manifest": "m.tsv",
        "pairing": {"pairs_per_subject": 2},
        "models": {"a": {}},
    }
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    study = Study.load(path)
    forbid(monkeypatch, tmp_path)
    assert [fault.message.split()[0] for fault in folders.locks(study)] == [
        "c.folds.tsv",
        "c.pairs.tsv",
    ]


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("Müller.nii.gz", unicodedata.normalize("NFD", "Müller.nii.gz")),
        (unicodedata.normalize("NFD", "é.nii.gz"), "é.nii.gz"),
        ("a b.nii.gz", "a\u00a0b.nii.gz"),
        ("ab.nii.gz", "a\u200bb.nii.gz"),
        ("P1.nii.gz", "p1.nii.gz"),
        ("Ärzte/x.nii.gz", unicodedata.normalize("NFD", "Ärzte/x.nii.gz")),
    ],
)
def test_a_file_that_is_called_nearly_so_is_shown_with_the_difference(
    config: Path, name: str, stored: str
) -> None:
    target = config.parent / stored
    target.parent.mkdir(exist_ok=True)
    shutil.move(config.parent / "p1_mr.nii.gz", target)
    table = config.parent / "manifest.tsv"
    table.write_text(
        table.read_text(encoding="utf-8").replace("p1_mr.nii.gz", name), encoding="utf-8"
    )
    (fault,) = told(config)
    assert (fault.row, fault.column) == (2, "moving_image")
    assert "its folder holds" in fault.message
    assert ("U+" in fault.message) or "only in case" in fault.message


@pytest.mark.parametrize("missing", ["missing", "channels"])
def test_what_all_files_share_is_told_once(config: Path, missing: str) -> None:
    for number, side in ((number, side) for number in (1, 2, 3) for side in ("mr", "us")):
        path = config.parent / f"p{number}_{side}_labels.nii.gz"
        if missing == "missing":
            path.unlink()
        else:
            faulty_files.save(path, np.zeros((*faulty_files.SHAPE, 6), np.uint8))
    (fault,) = told(config)
    assert (fault.row, fault.column) == (2, "moving_labels")
    assert "(and so for all other label files: 5 more, rows 2, 3, 4)" in fault.message


def test_files_with_a_fault_of_their_own_are_told_each(config: Path) -> None:
    for number in (1, 2):
        (config.parent / f"p{number}_mr.nii.gz").unlink()
    assert [fault.row for fault in told(config)] == [2, 3]


@pytest.mark.parametrize(
    ("keys", "column"),
    [
        ({"study": "CON"}, "study"),
        ({"study": "nul"}, "study"),
        ({"results": "out."}, "results"),
        ({"results": "a:b/c"}, "results"),
        ({"models": {"aux": {}}}, "models.aux"),
    ],
)
def test_names_that_other_systems_cannot_have_are_warned_of(
    config: Path, keys: dict[str, object], column: str
) -> None:
    if "models" in keys:
        base = yaml.safe_load(config.read_text(encoding="utf-8"))["models"]["base"]
        keys = {"models": {"aux": base}}
    change(config, **keys)
    (fault,) = check(config).warnings
    assert (fault.severity, fault.column) == ("WARNING", column)


@pytest.mark.parametrize("text", ["study: a\nstudy: b", "folds: {count: 2, count: 3}", "seed: 010"])
def test_check_reads_a_configuration_as_the_workflow_does(config: Path, text: str) -> None:
    config.write_text(f"{text}\n{config.read_text(encoding='utf-8')}", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        Study.load(config)
    assert told(config) == caught.value.faults
