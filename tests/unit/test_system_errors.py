from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tenter import errors, system_errors
from tenter.errors import DataError, TenterError

KINDS = {
    "ENOSPC": "the disk is full",
    "EDQUOT": "quota",
    "EFBIG": "ulimit -f",
    "EROFS": "read-only",
    "EACCES": "permission denied",
    "EPERM": "not permitted",
    "EIO": "input/output error",
    "ESTALE": "stale file handle",
    "ENAMETOOLONG": "too long",
    "ENOTDIR": "is a file, not a folder",
    "EISDIR": "a folder is in the place of the file",
    "ELOOP": "circle",
    "EMFILE": "ulimit -n",
    "ENFILE": "too many open files",
    "ENXIO": "device or a pipe",
    "ETIMEDOUT": "did not answer in time",
    "ENOENT": "does not exist",
    "ENOLCK": "locks",
    "EHOSTDOWN": "cannot be reached",
    "EREMOTEIO": "Remote I/O error",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_error_is_told_with_path_cause_and_fix(name: str) -> None:
    number = getattr(errno, name)
    line = system_errors.line(OSError(number, os.strerror(number)), Path("/data/x.nii"), "written")
    place, cause = line.split(": ", 1)
    told, fix = cause.split("; ", 1)
    assert place == "/data/x.nii"
    assert KINDS[name] in line
    assert told.startswith("cannot be written")
    assert "run" in fix
    assert "\n" not in line


def test_a_full_disk_is_told_with_what_is_left(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    assert "bytes free)" in system_errors.line(error, tmp_path / "x", "written")


@pytest.mark.parametrize("make", ["file", "circle", "nothing"])
def test_what_stands_in_the_way_is_named(make: str, tmp_path: Path) -> None:
    obstacle = tmp_path / "results"
    if make == "file":
        obstacle.touch()
    else:
        obstacle.symlink_to(obstacle if make == "circle" else tmp_path / "gone")
    told = {"file": "is a file", "circle": "leads in a circle", "nothing": "leads to nothing"}
    line = system_errors.line(OSError(errno.EEXIST, "File exists"), obstacle / "a/b", "written")
    assert f"{obstacle} is a " in line
    assert told[make] in line


def test_a_temporary_name_is_not_told() -> None:
    error = OSError(errno.EIO, "Input/output error", "/data/cases/.tmp-host-1-2.nii")
    assert system_errors.line(error).startswith("/data/cases: ")


def test_hdf5s_errors_are_told_by_the_number_within() -> None:
    error = OSError(
        "Can't write data (file write failed: time = x, errno = 28, error message = 'y')"
    )
    assert "the disk is full" in system_errors.line(error, Path("x.h5"), "written")


def test_a_circle_that_pathlib_hides_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises((RuntimeError, OSError)) as caught:
        (tmp_path / "a").resolve(strict=True)
    assert "circle" in str(errors.message(caught.value))


def test_an_error_raised_from_one_of_the_system_is_told_by_it() -> None:
    wrapped = RuntimeError("library failed")
    wrapped.__cause__ = OSError(errno.EROFS, "Read-only file system", "/data/x")
    assert str(errors.message(wrapped)).startswith(
        "/data/x: cannot be used: the file system is read-only"
    )


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), ZeroDivisionError(), AssertionError()]
)
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    assert errors.message(error) is None


@pytest.mark.parametrize("error", [DataError("x: is odd; see y"), TenterError()])
def test_an_error_of_ours_is_told_as_it_is(error: TenterError) -> None:
    assert errors.message(error) == (str(error) or "TenterError")
