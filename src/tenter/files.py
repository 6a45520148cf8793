"""How a file gets its final name: written aside, flushed, verified, renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tenter.errors import OutputError

FLUSHES = 8
"""Files that are flushed at a time: disks, and journals of file systems, take many in one go."""

_unflushed: ContextVar[list[Path] | None] = ContextVar("_unflushed", default=None)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` only after success.

    The temporary name keeps the suffix (writers choose a format by it) and is unique
    per host and process, so that an orphaned old job cannot touch a new job's file. The file
    is on the disk before it has its name, unless it is one of those `flushed_together`.

    Raises:
        OutputError: the disk is full, a quota is reached, or the folder is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unflushed = _unflushed.get()
    suffix = "".join(path.suffixes[-2:])
    token = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    temporary = path.parent / f".tmp-{token}{suffix}"
    try:
        yield temporary
        if unflushed is None:
            _flush(temporary)
        temporary.replace(path)
        if unflushed is None:
            _flush(path.parent)
        else:
            unflushed.append(path)
    except OSError as error:
        _complain(path, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def flushed_together() -> Iterator[None]:
    """Flush the files that are written within at its end, several at a time: to wait for each takes longer.

    For files that count only when a later one names them, as a chunk's table does. A machine that loses
    power before leaves names of files whose content is not there: whoever comes upon one without
    the later file must compare its content with its sidecar, as `pairwork.is_finished` does. A file that
    cannot be flushed is removed.

    Raises:
        OutputError: as `written_whole`.
    """
    written: list[Path] = []
    token = _unflushed.set(written)
    try:
        yield
    finally:
        _unflushed.reset(token)
        with ThreadPoolExecutor(FLUSHES) as pool:
            list(pool.map(_flush_or_remove, written))
            list(pool.map(_flush, {path.parent for path in written}))


def _flush_or_remove(path: Path) -> None:
    try:
        _flush(path)
    except OSError as error:
        path.unlink(missing_ok=True)
        _complain(path, error)
        raise


def _flush(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _complain(path: Path, error: OSError) -> None:
    """Say in words of users what they can mend."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}:
        free = shutil.disk_usage(path.parent).free
        message = f"{path}: cannot be written ({error.strerror}; {free} bytes free)"
        raise OutputError(message) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write `value` as readable JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value that a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON text that is equal for equal values: sorted keys, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Hexadecimal sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
