from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tenter import errors, system_errors
from tenter.errors import DataError
from tenter.records import Fault

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
    fault = system_errors.fault(
        OSError(number, os.strerror(number)), Path("/data/x.nii"), "written"
    )
    assert fault.file == "/data/x.nii"
    assert KINDS[name] in fault.text
    assert fault.message.startswith("cannot be written")
    assert "run" in fault.fix
    assert "\n" not in fault.message + fault.fix


def test_a_full_disk_is_told_with_what_is_left(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    assert "bytes free)" in system_errors.fault(error, tmp_path / "x", "written").message


@pytest.mark.parametrize("make", ["file", "circle", "nothing"])
def test_what_stands_in_the_way_is_named(make: str, tmp_path: Path) -> None:
    obstacle = tmp_path / "results"
    if make == "file":
        obstacle.touch()
    else:
        obstacle.symlink_to(obstacle if make == "circle" else tmp_path / "gone")
    told = {"file": "is a file", "circle": "leads in a circle", "nothing": "leads to nothing"}
    error = OSError(errno.EEXIST, "File exists")
    message = system_errors.fault(error, obstacle / "a/b", "written").message
    assert f"{obstacle} is a " in message
    assert told[make] in message


def test_a_temporary_name_is_not_told() -> None:
    error = OSError(errno.EIO, "Input/output error", "/data/cases/.tmp-host-1-2.nii")
    assert system_errors.fault(error).file == "/data/cases"


def test_hdf5s_errors_are_told_by_the_number_within() -> None:
    error = OSError(
        "Can't write data (file write failed: time = x, errno = 28, error message = 'y')"
    )
    assert "the disk is full" in system_errors.fault(error, Path("x.h5"), "written").message


def test_a_circle_that_pathlib_hides_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises((RuntimeError, OSError)) as caught:
        (tmp_path / "a").resolve(strict=True)
    (fault,) = errors.faults(caught.value) or ()
    assert "circle" in fault.message


def test_an_error_raised_from_one_of_the_system_is_told_by_it() -> None:
    wrapped = RuntimeError("library failed")
    wrapped.__cause__ = OSError(errno.EROFS, "Read-only file system", "/data/x")
    (fault,) = errors.faults(wrapped) or ()
    assert fault.text.startswith("/data/x: cannot be used: the file system is read-only")


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), ZeroDivisionError(), AssertionError()]
)
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    assert errors.faults(error) is None


def test_an_error_of_ours_keeps_its_faults() -> None:
    fault = Fault("x", "is odd", "see y")
    assert errors.faults(DataError(fault)) == (fault,)


def test_a_lack_of_memory_is_a_fault() -> None:
    (fault,) = errors.faults(MemoryError()) or ()
    assert fault.text == "memory: ran out; give the command more memory, then run it again"
