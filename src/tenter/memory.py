"""What Snakemake remembers of a study's results, kept with the results so that it moves when they do.

Snakemake notes in `.snakemake/metadata` of the working folder with which parameters and inputs each
output was made, under the output's path. Results that are moved or copied elsewhere would be results of
which it knows nothing, and a changed setting would make nothing stale, without a word. So a copy lies in
`<results>/cache/workflow.json`, by paths below the results, and is given back where it is newer.
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
"""Snakemake's own folder, in the working folder."""

HERE = "<results>"
"""What stands for the folder of results."""

_FORMAT = 1
_UNUSED = {"shellcmd"}
"""Parts of a record that decide nothing, and name every path again."""

Record = dict[str, Any]


def save(results: Path, records: Path = RECORDS) -> None:
    """Copy what is remembered of results to them.

    Args:
        results: folder of the study's results, as the workflow names it.
        records: Snakemake's folder of records.

    Raises:
        OutputError: the copy cannot be written.
    """
    prefix = f"{results}/"
    found: dict[str, Record] = {}
    for output, path in _outputs(records):
        record = _read(path) if output.startswith(prefix) else None
        if record is not None:
            named = {key: value for key, value in record.items() if key not in _UNUSED}
            found[output.removeprefix(prefix)] = _renamed(named, str(results), HERE)
    if found:
        content = {"format": _FORMAT, "records": dict(sorted(found.items()))}
        files.write_text(_copy(results), json.dumps(content, ensure_ascii=False) + "\n")


def restore(results: Path, records: Path = RECORDS) -> int:
    """Give back to Snakemake what it does not know, or knows older, of results.

    Args:
        results: folder of the study's results, as the workflow names it.
        records: Snakemake's folder of records.

    Returns:
        number of outputs of which it knows again.
    """
    saved = _saved(results)
    if not saved or _is_known(results, records, max(saved.items(), key=lambda item: _end(item[1]))):
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
    """Records by their outputs' paths below the results; none where the copy cannot be used."""
    content = _read(_copy(results)) or {}
    saved = content.get("records") if content.get("format") == _FORMAT else None
    if not isinstance(saved, dict) or not all(isinstance(record, dict) for record in saved.values()):
        return {}
    return saved


def _is_known(results: Path, records: Path, item: tuple[str, Record]) -> bool:
    """Whether Snakemake's own record of an output is as new as the copy."""
    name, record = item
    own = _read(_path(records, f"{results}/{name}"))
    return own is not None and _end(own) >= _end(record)


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
    """Outputs of which there is a record: a file whose name, with those of its folders, is base64."""
    for folder, _, names in os.walk(records):
        above = [part.removeprefix("@") for part in Path(folder).relative_to(records).parts]
        for name in names:
            try:
                yield base64.urlsafe_b64decode("".join([*above, name])).decode(), Path(folder, name)
            except (binascii.Error, UnicodeDecodeError):
                continue


def _path(records: Path, output: str) -> Path:
    """Where Snakemake (9.27, `persistence.file`) keeps the record of an output."""
    try:
        longest = os.pathconf(records, "PC_NAME_MAX") or 255
    except OSError:
        longest = 255
    text = base64.urlsafe_b64encode(output.encode()).decode()
    parts = [text[start : start + longest - 1] for start in range(0, len(text), longest - 1)]
    return Path(records, *(f"@{part}" for part in parts[:-1]), parts[-1])


def _here(record: Record, results: str) -> Record:
    """A saved record as Snakemake would have written it in this place: it compares sorted lists."""
    renamed: Record = _renamed(record, HERE, results)
    lists = {key: sorted(renamed[key]) for key in ("input", "log") if isinstance(renamed.get(key), list)}
    return renamed | lists


def _renamed(value: Any, old: str, new: str) -> Any:  # noqa: ANN401 - any JSON value
    """A record with one folder named instead of another, where a path begins with it.

    Parameters are kept as Python writes them, in quotes and with escapes.
    """
    if isinstance(value, dict):
        return {_renamed(key, old, new): _renamed(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, old, new) for item in value]
    if not isinstance(value, str):
        return value
    if value == old or value.startswith(f"{old}/"):
        return new + value.removeprefix(old)
    quoted = f"(?<=['\"]){re.escape(repr(old)[1:-1])}(?=[/'\"])"
    return re.sub(quoted, lambda _: repr(new)[1:-1], value)
