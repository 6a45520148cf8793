"""What errors of the operating system on files mean: cause and fix."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tenter.records import Fault

Action = Literal["read", "written", "removed", "used"]

_AGAIN = "then run the same command again"
_CAUSES: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", f"free some space there, {_AGAIN}"),
    errno.EDQUOT: (
        "your disk quota is used up",
        f"remove files or ask for a larger quota, {_AGAIN}",
    ),
    errno.EFBIG: (
        "the file would exceed the largest size allowed",
        f"raise the limit (`ulimit -f`) or choose another file system, {_AGAIN}",
    ),
    errno.EROFS: (
        "the file system is read-only",
        f"make it writable or choose a folder on another file system, {_AGAIN}",
    ),
    errno.EACCES: (
        "permission denied",
        f"see the permissions with `ls -ld` and let this user in, {_AGAIN}",
    ),
    errno.EPERM: (
        "the operation is not permitted",
        f"see the owner with `ls -ld` and the attributes with `lsattr -d`, {_AGAIN}",
    ),
    errno.EIO: (
        "input/output error: the disk or the connection to it is faulty",
        f"have the disk checked or use another one, {_AGAIN}",
    ),
    errno.ESTALE: (
        "stale file handle: the network file system replaced the file or was restarted",
        "run the same command again; if the error stays, have the file system mounted again",
    ),
    errno.ENAMETOOLONG: (
        "the name or the path is too long",
        (
            "shorten it (names of the study, models and pairs, or the folder of the results), "
            f"{_AGAIN}"
        ),
    ),
    errno.ENOTDIR: (
        "a part of the path is a file, not a folder",
        f"rename or remove that file or correct the path, {_AGAIN}",
    ),
    errno.EISDIR: (
        "a folder is in the place of the file",
        f"rename or remove that folder or correct the path, {_AGAIN}",
    ),
    errno.ELOOP: (
        "symbolic links lead in a circle",
        f"correct the links (`ls -l` shows where each one points), {_AGAIN}",
    ),
    errno.EMFILE: (
        "this process has too many open files",
        f"raise the limit (`ulimit -n`), {_AGAIN}",
    ),
    errno.ENFILE: (
        "this machine has too many open files",
        f"end other programs or ask the administrator for a higher limit, {_AGAIN}",
    ),
    errno.ENXIO: (
        "it is a device or a pipe that nothing answers on",
        f"give a regular file in its place, {_AGAIN}",
    ),
    errno.ENODEV: ("the device is not there", f"see that the disk is mounted, {_AGAIN}"),
    errno.ETIMEDOUT: (
        "the file system did not answer in time",
        (
            "wait until its server answers (`ls` of the folder returns), "
            "then run the same command again"
        ),
    ),
    errno.ENOENT: ("it does not exist", f"restore it or correct the path, {_AGAIN}"),
    errno.EEXIST: (
        "something else is in its place",
        f"rename or remove that or correct the path, {_AGAIN}",
    ),
    errno.ENOTEMPTY: ("the folder is not empty", f"empty it or choose another one, {_AGAIN}"),
    errno.EBUSY: ("it is in use", f"end the program that uses it, {_AGAIN}"),
    errno.ENOLCK: (
        "the file system does not support locks",
        f"choose a folder on a file system with locks, {_AGAIN}",
    ),
    errno.ENOMEM: ("memory ran out", f"give the command more memory, {_AGAIN}"),
}
"""Cause and fix for each error of a file system."""

_MISPLACED = {errno.ENOTDIR, errno.EEXIST, errno.ELOOP}
_UNANSWERED = {
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOTCONN,
}
_FIX = f"see that the file and its folder can be used, {_AGAIN}"
_NUMBER = re.compile(r"errno = (\d+)")
"""The number of the system's error in a message of HDF5."""


def fault(error: OSError, path: Path | None = None, action: Action = "used") -> Fault:
    """Which file could not be used, why, and what to do.

    Args:
        error: error of the operating system.
        path: the file, if the error names none or another one.
        action: the attempted action.
    """
    named = path if path is not None else _named(error)
    cause, fix = _cause(error, named)
    return Fault("a file" if named is None else str(named), f"cannot be {action}: {cause}", fix)


def number(error: OSError) -> int | None:
    """The system's number of an error, which HDF5 only gives in its message."""
    if error.errno is not None:
        return error.errno
    hidden = _NUMBER.search(str(error))
    return int(hidden[1]) if hidden else None


def behind(error: BaseException) -> OSError | None:
    """The error of the operating system that another error was raised from, or None."""
    cause = next((link for link in _chain(error) if isinstance(link, OSError)), None)
    hidden = error.__context__ if isinstance(error, RuntimeError) else None
    if cause is None and isinstance(hidden, OSError) and hidden.errno == errno.ELOOP:
        return hidden  # Path.resolve before Python 3.13
    return cause


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _named(error: OSError) -> Path | None:
    """The file that an error names; for a temporary file its folder, which people know."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    if not name:
        return None
    return Path(name).parent if Path(name).name.startswith(".tmp-") else Path(name)


def _cause(error: OSError, path: Path | None) -> tuple[str, str]:
    code = number(error)
    if code is None or code not in _CAUSES:
        text = " ".join((error.strerror or str(error) or type(error).__name__).split())
        if code in _UNANSWERED:
            return f"the file system cannot be reached ({text})", _CAUSES[errno.ETIMEDOUT][1]
        return text, _FIX
    cause, fix = _CAUSES[code]
    system_text = os.strerror(code)
    cause = cause if system_text.lower() in cause.lower() else f"{cause} ({system_text})"
    if code == errno.ENOSPC and path is not None:
        return _full(path, cause), fix
    if code in _MISPLACED and path is not None:
        return _obstacle(path) or cause, fix
    return cause, fix


def _obstacle(path: Path) -> str | None:
    """What is in the place of a folder of a path: a file, or a broken symbolic link."""
    for part in reversed(path.parents):
        try:
            if not stat.S_ISDIR(part.stat().st_mode):
                return f"{part} is a file, not a folder"
        except OSError as error:
            if not part.is_symlink():
                return None
            circle = error.errno == errno.ELOOP
            return (
                f"{part} is a symbolic link that leads {'in a circle' if circle else 'to nothing'}"
            )
    return None


def _full(path: Path, cause: str) -> str:
    """The cause for a full disk, with its free space; or for a disk without free inodes."""
    parts = (path, *path.parents)
    existing = (part for part in parts if os.path.exists(part))  # noqa: PTH110 - never raises
    above = next(existing, None)
    if above is None:
        return cause
    try:
        free, file_system = shutil.disk_usage(above).free, os.statvfs(above)
    except OSError:
        return cause
    if file_system.f_files and not file_system.f_favail and free:
        return "the disk holds its largest number of files (no inode is left)"
    return f"{cause.removesuffix(')')}; {free} bytes free)"
