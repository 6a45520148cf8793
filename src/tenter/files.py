"""Atomic writing of files (temporary name, flush, rename), and reading of small files."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tenter import system_errors
from tenter.errors import DataError, OutputError, TenterError
from tenter.records import Fault

REMEDY = "delete it and run the workflow again"
"""Fix for a damaged file that the workflow can make again."""

FLUSHES = 8
"""Files to flush in parallel: disks and journals of file systems can combine flushes."""

_unflushed: ContextVar[list[Path] | None] = ContextVar("_unflushed", default=None)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, and rename it to `path` only after success.

    The temporary name keeps the suffix (writers choose a format by it) and is unique
    per host and process, so that an orphaned old job cannot touch a new job's file. The file
    is flushed to the disk before it gets its name, except within `flushed_together`.

    Raises:
        OutputError: the operating system refuses (disk full, read-only, no permission, ...).
    """
    unflushed = _unflushed.get()
    suffix = "".join(path.suffixes[-2:])
    token = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    temporary = path.parent / f".tmp-{token}{suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if unflushed is None:
            _flush(temporary)
        temporary.replace(path)
        if unflushed is None:
            _flush(path.parent)
        else:
            unflushed.append(path)
    except TenterError:
        raise
    except Exception as error:
        refused = _cause_of_failed_write(error, temporary)
        if refused is None:
            raise
        raise OutputError(system_errors.fault(refused, path, "written")) from error
    finally:
        with contextlib.suppress(OSError):  # the first error counts
            temporary.unlink(missing_ok=True)


def _cause_of_failed_write(error: Exception, temporary: Path) -> OSError | None:
    """The error of the operating system behind a failed write; None for any other cause.

    Libraries hide the reason of a failed write (ITK and HDF5 report "write failed"), so the
    file system is probed by a small write to the same file.
    """
    if isinstance(error, OSError) and system_errors.number(error) is not None:
        paths = {None, *map(str, (temporary, *temporary.parents))}
        return error if error.filename in paths else None
    try:
        require_writable(temporary)
    except OSError as refused:
        return refused
    return None


def require_writable(path: Path) -> None:
    """Append some bytes to a file to be discarded, to find out why a library failed to write it.

    Raises:
        OSError: the error of the operating system.
    """
    with path.open("ab") as stream:
        stream.write(bytes(io.DEFAULT_BUFFER_SIZE))
        stream.flush()
        os.fsync(stream.fileno())


def require_space(path: Path, size: int) -> None:
    """Check that the disk has room for a file, before a library writes it that crashes otherwise.

    After a failed write HDF5 ends its process by a segmentation fault.

    Args:
        path: the file, which is created empty.
        size: size in bytes.

    Raises:
        OSError: the error of the operating system.
    """
    with path.open("wb") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, size)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # not every file system can tell
                raise
        stream.truncate(0)


def remove(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        OutputError: the operating system refuses.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(system_errors.fault(error, path, "removed")) from error


@contextlib.contextmanager
def flushed_together() -> Iterator[None]:
    """Flush the files written within the context in parallel at its end, faster than one by one.

    For files that are only used once a later file, such as a chunk's table, names them. A power
    failure before the flush may leave files without their content: code that finds a file without
    the later one must compare its content with its sidecar, as `pairwork.is_finished` does. A file
    that cannot be flushed is removed.

    Raises:
        OutputError: as `written_whole`.
    """
    written: list[Path] = []
    token = _unflushed.set(written)
    try:
        yield
    except BaseException:
        _unflushed.reset(token)
        with contextlib.suppress(OutputError):  # the first error counts
            _flush_all(written)
        raise
    _unflushed.reset(token)
    _flush_all(written)


def _flush_all(written: Sequence[Path]) -> None:
    with ThreadPoolExecutor(FLUSHES) as pool:
        list(pool.map(_flush_or_remove, written))
        list(pool.map(_flush_or_remove, {path.parent for path in written}))


def _flush_or_remove(path: Path) -> None:
    try:
        _flush(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise OutputError(system_errors.fault(error, path, "written")) from error


def _flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():  # a folder that may be written to but not listed
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems (CIFS, FUSE) cannot flush a folder.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP} or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write `value` as indented JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def read_text(path: Path, remedy: str = REMEDY) -> str:
    """Return the text of a small file.

    Args:
        path: the file.
        remedy: what to do where it is damaged.

    Raises:
        DataError: it cannot be read, is empty, or is not UTF-8 text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(system_errors.fault(error, path, "read")) from error
    if not content.strip(b"\0 \t\r\n"):
        message = (
            f"holds nothing but {len(content)} blank or zero bytes"
            if content
            else "is empty (0 bytes)"
        )
        raise damaged(path, message, remedy)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(path, f"is not UTF-8 text (byte {error.start + 1})", remedy) from error


def read_json(path: Path, remedy: str = REMEDY) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value that a JSON file holds.

    Args:
        path: the file.
        remedy: what to do where it is damaged.

    Raises:
        DataError: it cannot be read or is damaged.
    """
    text = read_text(path, remedy)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise damaged(path, f"is not valid JSON ({position}: {error.msg})", remedy) from error
    except RecursionError as error:
        raise damaged(path, "is not valid JSON (nested too deeply)", remedy) from error


Kind = type | tuple[type, ...]


def read_object(path: Path, keys: Mapping[str, Kind], remedy: str = REMEDY) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Args:
        path: the file.
        keys: keys that it must have, each with the types that its value may have.
        remedy: what to do where it is damaged.

    Raises:
        DataError: it cannot be read, is damaged, or lacks a key.
    """
    value = read_json(path, remedy)
    require_keys(path, value, keys, remedy)
    content: dict[str, Any] = value
    return content


def require_keys(path: Path, value: object, keys: Mapping[str, Kind], remedy: str = REMEDY) -> None:
    """Check that a value, read from a file, is an object with these keys.

    Raises:
        DataError: naming the first key that is absent or of another type.
    """
    if not isinstance(value, dict):
        raise damaged(path, f"holds {_NAMES[type(value)]}, not an object", remedy)
    for key, kind in keys.items():
        if key not in value:
            raise damaged(path, f"lacks `{key}`", remedy)
        if not isinstance(value[key], kind) or (isinstance(value[key], bool) and kind is not bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            expected = " or ".join(dict.fromkeys(_NAMES[alternative] for alternative in kinds))
            raise damaged(path, f"`{key}` is {_NAMES[type(value[key])]}, not {expected}", remedy)


_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def read_table(
    path: Path, columns: Sequence[str], remedy: str = REMEDY, *, delimiter: str = "\t"
) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a table, each with its line number and its cells by column.

    Args:
        path: the file.
        columns: columns that it must have; it may have more.
        remedy: what to do where it is damaged.
        delimiter: what separates cells.

    Raises:
        DataError: it cannot be read, is damaged, lacks a column, or a row has another number of
            cells.
    """
    text = read_text(path, remedy)
    if not text.endswith("\n"):
        raise damaged(path, "is cut off (its last line has no end)", remedy)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise damaged(
            path, f"is not a row of a table ({error})", remedy, row=reader.line_num
        ) from error
    names = lines[0][1] if lines else []
    missing = [name for name in columns if name not in names]
    if missing:
        raise damaged(path, f"lacks the columns {', '.join(missing)}", remedy)
    for number, cells in lines[1:]:
        if len(cells) != len(names) or any("\0" in cell for cell in cells):
            message = f"has {len(cells)} cells, the header {len(names)}"
            raise damaged(
                path,
                "holds zero bytes" if len(cells) == len(names) else message,
                remedy,
                row=number,
            )
    return [(number, dict(zip(names, cells, strict=True))) for number, cells in lines[1:]]


def damaged(
    path: Path,
    message: str,
    remedy: str = REMEDY,
    *,
    row: int | None = None,
    column: str | None = None,
) -> DataError:
    """The error for a damaged file that tenter wrote.

    Args:
        path: the file.
        message: what is wrong with the file, or with the row and column.
        remedy: what to do.
        row: line of a table, from 1.
        column: column of a table.
    """
    return DataError(Fault(str(path), message, remedy, row, column))


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's content.

    Raises:
        OSError: it cannot be read; the error names the file.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        error.filename = str(path)  # a failed read names no file
        raise


def canonical(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Canonical JSON, equal for equal values: sorted keys, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Hexadecimal sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
