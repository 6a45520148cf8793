from __future__ import annotations

import os
from pathlib import Path

import pytest

from builders import faulty_files
from tenter import files
from tenter.config import LabelFiles
from tenter.intake.file_scan import Examiner
from tenter.records import Pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    moving, fixed = (
        faulty_files.image(tmp_path / f"{name}.nii.gz", seed) for seed, name in enumerate("mf")
    )
    return Pair(id="a", patients=("p",), moving=moving, fixed=fixed, row=2)


@pytest.fixture
def examiner(tmp_path: Path) -> Examiner:
    return Examiner(
        root=tmp_path, labels=LabelFiles(), memory=tmp_path / "memory.json", version="1"
    )


def change_in_secret(path: Path) -> None:
    """Spoil a file without a trace in its size and times (but that of its status)."""
    state = path.stat()
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 0xFF
    path.write_bytes(bytes(raw))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_every_file_is_examined_once(examiner: Examiner, pair: Pair) -> None:
    assert list(examiner.findings([pair, pair])) == [(pair.moving, "image"), (pair.fixed, "image")]


def test_several_workers_find_what_one_finds(tmp_path: Path, pair: Pair) -> None:
    faulty_files.constant(pair.fixed)
    one, four = (Examiner(root=tmp_path, labels=LabelFiles(), workers=count) for count in (1, 4))
    assert one.findings([pair]) == four.findings([pair])


def test_unchanged_files_are_remembered(tmp_path: Path, examiner: Examiner, pair: Pair) -> None:
    first = examiner.findings([pair])
    content = files.read_json(tmp_path / "memory.json")
    content["files"]["image m.nii.gz"][1]["sha256"] = "remembered"
    files.write_json(tmp_path / "memory.json", content)
    second = examiner.findings([pair])
    assert second[pair.moving, "image"].sha256 == "remembered"
    assert second[pair.fixed, "image"] == first[pair.fixed, "image"]


def test_a_changed_file_is_read_again_even_if_its_size_and_time_are_kept(
    examiner: Examiner, pair: Pair
) -> None:
    examiner.findings([pair])
    change_in_secret(pair.moving)
    assert not examiner.findings([pair])[pair.moving, "image"].sound


def test_faulty_files_are_not_remembered(tmp_path: Path, examiner: Examiner, pair: Pair) -> None:
    faulty_files.constant(pair.moving)
    examiner.findings([pair])
    assert list(files.read_json(tmp_path / "memory.json")["files"]) == ["image f.nii.gz"]


@pytest.mark.parametrize(
    "content",
    ["", "{}", '{"version": "1", "files": []}', '{"version": "1", "files": {"image m.nii.gz": 1}}'],
)
def test_a_spoilt_memory_is_as_good_as_none(examiner: Examiner, pair: Pair, content: str) -> None:
    assert examiner.memory is not None
    examiner.memory.write_text(content, encoding="utf-8")
    assert examiner.findings([pair])[pair.moving, "image"].sound


def test_what_older_code_remembered_does_not_count(
    tmp_path: Path, examiner: Examiner, pair: Pair
) -> None:
    examiner.findings([pair])
    text = (
        (tmp_path / "memory.json")
        .read_text(encoding="utf-8")
        .replace('"sha256": "', '"sha256": "old')
    )
    (tmp_path / "memory.json").write_text(text, encoding="utf-8")
    newer = Examiner(root=tmp_path, labels=LabelFiles(), memory=examiner.memory, version="2")
    assert not newer.findings([pair])[pair.moving, "image"].sha256.startswith("old")


def test_the_memory_names_files_from_the_manifest(
    examiner: Examiner, pair: Pair, tmp_path: Path
) -> None:
    examiner.findings([pair])
    assert str(tmp_path) not in (tmp_path / "memory.json").read_text(encoding="utf-8")
