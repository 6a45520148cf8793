"""Folders that nothing can be written to, each for another reason,
by real file systems and limits.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

NOBODY = 65534

Disk = Callable[[Path], AbstractContextManager[None]]
"""Given a folder that holds what was there before: nothing can be written to it within."""


def needs_root() -> None:
    """Skip a test that mounts file systems or takes on another user's identity."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system and changing the user need root")


@contextlib.contextmanager
def mounted(folder: Path, options: str = "size=16m") -> Iterator[None]:
    """A file system in memory at a folder."""
    needs_root()
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def filled(spare: int) -> Disk:
    """A disk with so many bytes left, on a file system of its own."""

    @contextlib.contextmanager
    def disk(folder: Path) -> Iterator[None]:
        filler, block = folder / "filler", bytes(4096)
        with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(block) == len(block):
                pass
        os.truncate(filler, max(0, filler.stat().st_size - spare))
        yield
        filler.unlink()

    return disk


@contextlib.contextmanager
def nameless(folder: Path) -> Iterator[None]:
    """A disk with room for bytes, but for no further file."""
    named: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            path = folder / f"name-{len(named)}"
            path.touch()
            named.append(path)
    yield
    for path in named:
        path.unlink()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A file system that was mounted again without leave to write."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


@contextlib.contextmanager
def foreign(folder: Path) -> Iterator[None]:
    """A folder of another user, who lets nobody write."""
    needs_root()
    tempfile.gettempdir()  # tried by writing, once
    folder.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    """A limit of this process, lowered for a while."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def short(_: Path) -> AbstractContextManager[None]:
    """Files may not be longer than 100 bytes."""
    return limited(resource.RLIMIT_FSIZE, 100)


def crowded(_: Path) -> AbstractContextManager[None]:
    """No further file may be opened."""
    least_free = os.dup(0)
    os.close(least_free)
    return limited(resource.RLIMIT_NOFILE, least_free)


@contextlib.contextmanager
def replaced(folder: Path, make: Callable[[Path], object]) -> Iterator[None]:
    """Something else in the place of a folder."""
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    make(folder)
    yield
    folder.unlink()
    aside.rename(folder)


def occupied(folder: Path) -> AbstractContextManager[None]:
    """A file in the place of the folder."""
    return replaced(folder, lambda path: path.write_text("a file"))


def circular(folder: Path) -> AbstractContextManager[None]:
    """A symbolic link to itself in the place of the folder."""
    return replaced(folder, lambda path: path.symlink_to(path))


def dangling(folder: Path) -> AbstractContextManager[None]:
    """A symbolic link to nothing in the place of the folder."""
    return replaced(folder, lambda path: path.symlink_to(path.with_name("gone")))


@contextlib.contextmanager
def blocked(folder: Path, names: list[str]) -> Iterator[None]:
    """Folders in the place of files."""
    for name in names:
        (folder / name / "inside").mkdir(parents=True)
    yield
    for name in names:
        (folder / name / "inside").rmdir()
        (folder / name).rmdir()
