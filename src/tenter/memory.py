"""A copy of Snakemake's metadata of a study's results, kept with the results to move with them.

Snakemake records the parameters and inputs of each output in `.snakemake/metadata` of the working
folder, under the path of the output. Without it, for results that were moved or copied, a changed
setting would silently make nothing stale. So a copy with paths relative to the results is kept in
`<results>/cache/workflow.json`, and restored where it is newer.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tenter import files

RECORDS = Path(".snakemake/metadata")
"""Snakemake's folder of metadata, in the working folder."""

HERE = "<results>"
"""Placeholder for the folder of results."""

_FORMAT = 1
_UNUSED = {"shellcmd"}
"""Parts of a record that do not affect staleness, and repeat every path."""

Record = dict[str, Any]


def save(results: Path, records: Path = RECORDS) -> None:
    """Copy the metadata of results into their folder.

    Args:
        results: folder of the study's results, as the workflow names it.
        records: Snakemake's folder of records.

    Raises:
        OutputError: the copy cannot be written.
    """
    prefix = f"{results}/"
    remembered: dict[str, Record] = {}
    for output, path in _outputs(records):
        record = _read(path) if output.startswith(prefix) else None
        if record is not None:
            named = {key: value for key, value in record.items() if key not in _UNUSED}
            remembered[output.removeprefix(prefix)] = _renamed(named, str(results), HERE)
    if remembered:
        content = {"format": _FORMAT, "records": dict(sorted(remembered.items()))}
        files.write_text(_copy(results), json.dumps(content, ensure_ascii=False) + "\n")


def restore(results: Path, records: Path = RECORDS) -> int:
    """Restore metadata that Snakemake lacks, or of which it has an older version.

    Args:
        results: folder of the study's results, as the workflow names it.
        records: Snakemake's folder of records.

    Returns:
        number of restored records.
    """
    saved = _saved(results)
    if not saved or _is_known(
        results, records, max(saved.items(), key=lambda entry: _end(entry[1]))
    ):
        return 0
    count = 0
    for name, record in saved.items():
        if (results / name).exists() and not _is_known(results, records, (name, record)):
            path = _path(records, f"{results}/{name}")
            files.write_text(path, json.dumps(_here(record, str(results))))
            count += 1
    return count


def _copy(results: Path) -> Path:
    return results / "cache/workflow.json"


def _saved(results: Path) -> dict[str, Record]:
    """Records by the paths of outputs below the results; empty if the copy cannot be used."""
    content = _read(_copy(results)) or {}
    saved = content.get("records") if content.get("format") == _FORMAT else None
    if not isinstance(saved, dict) or not all(
        isinstance(record, dict) for record in saved.values()
    ):
        return {}
    return saved


def _is_known(results: Path, records: Path, entry: tuple[str, Record]) -> bool:
    """Whether Snakemake's own record of an output is as new as the copy."""
    name, record = entry
    current = _read(_path(records, f"{results}/{name}"))
    return current is not None and _end(current) >= _end(record)


def _end(record: Record) -> float:
    end = record.get("endtime")
    return end if isinstance(end, int | float) else 0.0


def _read(path: Path) -> Record | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _outputs(records: Path) -> Iterator[tuple[str, Path]]:
    """Outputs with a record: a file whose path below the folder is the base64 of the output's."""
    for folder, _, names in os.walk(records):
        above = [part.removeprefix("@") for part in Path(folder).relative_to(records).parts]
        for name in names:
            try:
                yield base64.urlsafe_b64decode("".join([*above, name])).decode(), Path(folder, name)
            except (binascii.Error, UnicodeDecodeError):
                continue


def _path(records: Path, output: str) -> Path:
    """Path at which Snakemake (9.27, `persistence.file`) keeps the record of an output."""
    try:
        longest = os.pathconf(records, "PC_NAME_MAX") or 255
    except OSError:
        longest = 255
    text = base64.urlsafe_b64encode(output.encode()).decode()
    parts = [text[start : start + longest - 1] for start in range(0, len(text), longest - 1)]
    return Path(records, *(f"@{part}" for part in parts[:-1]), parts[-1])


def _here(record: Record, results: str) -> Record:
    """A saved record with the paths of this folder, and lists sorted as Snakemake sorts them."""
    renamed: Record = _renamed(record, HERE, results)
    lists = {
        key: sorted(renamed[key]) for key in ("input", "log") if isinstance(renamed.get(key), list)
    }
    return renamed | lists


def _renamed(value: Any, old: str, new: str) -> Any:  # noqa: ANN401 - any JSON value
    """Replace a folder by another at the beginning of all paths in a record.

    Parameters are stored as Python's `repr`, in quotes and with escapes.
    """
    if isinstance(value, dict):
        return {_renamed(key, old, new): _renamed(entry, old, new) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry, old, new) for entry in value]
    if not isinstance(value, str):
        return value
    if value == old or value.startswith(f"{old}/"):
        return new + value.removeprefix(old)
    quoted = f"(?<=['\"]){re.escape(repr(old)[1:-1])}(?=[/'\"])"
    return re.sub(quoted, lambda _: repr(new)[1:-1], value)
