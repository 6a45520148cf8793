from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tenter import pairwork, tables
from tenter.errors import DataError, OutputError
from tenter.records import Fault, ImagePair

PAIRS = tuple(
    ImagePair(id=name, patients=(name,), moving=Path("m"), fixed=Path("f")) for name in "abc"
)

EMPTY = Fault("b: 1; 2.nii", "is empty", "copy it again")
ODD = Fault("b.nii", "is odd", "export it again", row=3)


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    """A sealed sidecar of one file."""
    (tmp_path / "voxels.nii").write_bytes(b"voxels")
    pairwork.seal(tmp_path / "images.json", "f1", [tmp_path / "voxels.nii"], {"pair": "a"})
    return tmp_path / "images.json"


def test_results_come_in_the_order_of_the_pairs() -> None:
    assert pairwork.each_pair(PAIRS, lambda pair: pair.id, "work") == ("a", "b", "c")


def test_one_bad_pair_does_not_stop_the_others_and_is_named() -> None:
    done = []

    def work(pair: ImagePair) -> None:
        if pair.id == "b":
            raise DataError([EMPTY, ODD])
        done.append(pair.id)

    with pytest.raises(DataError, match="1 of 3 pairs failed, the others are done") as caught:
        pairwork.each_pair(PAIRS, work, "work")
    assert done == ["a", "c"]
    assert caught.value.faults[1:] == (replace(EMPTY, pair="b"), replace(ODD, pair="b"))


def test_a_full_disk_stops_at_once() -> None:
    done = []

    def work(pair: ImagePair) -> None:
        done.append(pair.id)
        raise OutputError(Fault("a.nii", "cannot be written", "free some space"))

    with pytest.raises(OutputError):
        pairwork.each_pair(PAIRS, work, "work")
    assert done == ["a"]


def test_sealed_work_is_finished(sidecar: Path) -> None:
    assert pairwork.is_finished(sidecar, "f1")
    assert pairwork.sealed_files(sidecar) == (sidecar.parent / "voxels.nii", sidecar)


def test_a_table_says_what_the_sidecar_says(sidecar: Path) -> None:
    voxels, own = pairwork.entries("a", sidecar, sidecar.parent, "f1")
    assert voxels == tables.entry("a", sidecar.parent / "voxels.nii", sidecar.parent, "f1")
    assert own == tables.entry("a", sidecar, sidecar.parent, "f1")


def test_work_from_other_inputs_is_not_finished(sidecar: Path) -> None:
    assert not pairwork.is_finished(sidecar, "f2")


@pytest.mark.parametrize("content", [b"VOXELS", b"voxel", None])
def test_a_changed_or_missing_file_is_not_finished(sidecar: Path, content: bytes | None) -> None:
    path = sidecar.parent / "voxels.nii"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert not pairwork.is_finished(sidecar, "f1")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fingerprint": "f1"}'])
def test_a_damaged_sidecar_is_not_finished(sidecar: Path, text: str) -> None:
    sidecar.write_text(text)
    assert not pairwork.is_finished(sidecar, "f1")
