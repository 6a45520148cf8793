"""Errors hold their faults as values; text is made of them and never read."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tenter.errors import DataError, FormatError, InputError
from tenter.formats import points, volumes
from tenter.records import Fault

SPOILT = Fault("a; b: c/x.csv", "is 3; 4: 5, not a number", "correct it", 2, "x")


def test_an_error_of_a_job_reads_as_place_message_and_fix() -> None:
    assert str(DataError(SPOILT)) == "a; b: c/x.csv:2:x: is 3; 4: 5, not a number; correct it"


def test_an_error_of_the_input_says_which_faults_are_warnings() -> None:
    error = InputError(
        [Fault("a", "is empty", "fill it"), Fault("b", "is big", "cut it", severity="WARNING")]
    )
    assert str(error) == "ERROR a: is empty; fill it\nWARNING b: is big; cut it"


def test_a_fault_of_a_pair_begins_with_the_pair() -> None:
    fault = Fault("x.nii", "is empty", "copy it again", pair="p1")
    assert fault.text == "p1: x.nii: is empty; copy it again"


@pytest.mark.parametrize("kind", [DataError, InputError])
def test_an_error_survives_the_way_between_processes(kind: type[DataError]) -> None:
    assert pickle.loads(pickle.dumps(kind(SPOILT))).faults == (SPOILT,)  # noqa: S301 - written here


def test_a_file_of_points_with_two_faults_raises_both(tmp_path: Path) -> None:
    path = tmp_path / "a: b; c.csv"
    path.write_text("label,x,y,z\np,1,2,three\nq,1,2,four\n")
    with pytest.raises(DataError) as raised:
        points.read_points(path)
    assert [(fault.file, fault.row, fault.column) for fault in raised.value.faults] == [
        (str(path), 2, "z"),
        (str(path), 3, "z"),
    ]


@pytest.mark.parametrize("name", ["picture.png", "picture.nii"])
def test_a_file_of_another_format_is_known_by_its_class(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG" + bytes(1000))
    with pytest.raises(FormatError):
        volumes.read_image(tmp_path / name)
