"""Verify the inputs of every stage before it runs, and record its provenance afterwards."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tenter import files, finished, manifest, provenance, steps
from tenter.errors import DataError
from tenter.manifest import rows
from tenter.records import Fault


def recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command's function; for a stage, also verify inputs and code, and record provenance.

    Args:
        name: the command, such as `prepare-images`.
        function: function of the command.
    """
    stage = name.replace("-", "_")
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def run(**flags: Any) -> Any:  # noqa: ANN401 - the flags of any stage
        main_output = flags.get("table") or flags["output"]
        inputs = _verified(_named(flags, steps.INPUT_FLAGS.get(stage, ())), main_output.parent)
        settings = files.canonical(flags["settings"].model_dump(mode="json"))
        code = flags.get("code") or provenance.fingerprint(stage, settings)
        provenance.verify(stage, settings, code)
        result = function(**flags)
        read = {**_rows(stage, flags), "inputs": inputs, **_carried(flags), **_accepted(stage)}
        for output in (main_output, *_named(flags, steps.OUTPUT_FLAGS.get(stage, ()))):
            provenance.record(output, stage, settings, code, read=read)
        return result

    return run if "settings" in parameters else function


def _named(flags: Mapping[str, Any], names: Iterable[str]) -> list[Path]:
    """Return the paths that flags name."""
    paths: list[Path] = []
    for name in names:
        value = flags.get(name)
        if value is not None:
            paths.extend([value] if isinstance(value, Path) else value)
    return paths


def _verified(paths: Iterable[Path], folder: Path) -> dict[str, str]:
    """Return the sha256 of each existing input, after comparing it with its provenance.

    Inputs are named by their path from `folder`, so that results can be moved as a whole.

    Raises:
        DataError: inputs have changed since they were written; all are named.
    """
    hashes: dict[str, str] = {}
    faults: list[Fault] = []
    for path in paths:
        faults += provenance.damage(path)
        file = path / finished.DESCRIPTION if path.is_dir() else path
        if file.is_file():
            hashes[os.path.relpath(file, folder)] = files.sha256(file)
    if faults:
        raise DataError(faults)
    return hashes


def _rows(stage: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pairs that a stage worked on, with their rows and the files that it read."""
    if stage not in rows.COMPARED or flags.get("rows") is None:
        return {}
    pairs, base = rows.read(flags["rows"]), rows.base(flags["rows"])
    content = {"pairs": {pair.id: rows.compared(pair, base, stage) for pair in pairs}}
    if stage not in manifest.SOURCES:
        return content
    sources = [path for path in manifest.sources(pairs, manifest.SOURCES[stage]) if path.is_file()]
    hashes = {os.path.relpath(path, base): files.sha256(path) for path in sources}
    return {**content, "sources": hashes}


def _carried(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sha256 of the pair files that evaluation wrote beside its table."""
    folders = [
        (flags[name], suffix)
        for name, suffix in steps.FOLDER_FLAGS.items()
        if flags.get(name) is not None
    ]
    if not folders:
        return {}
    names = [pair.id for pair in rows.read(flags["rows"])]
    paths = [folder / f"{name}{suffix}" for folder, suffix in folders for name in names]
    beside = flags["output"].parent
    hashes = {os.path.relpath(path, beside): files.sha256(path) for path in paths if path.is_file()}
    return {"carried": hashes}


def _accepted(stage: str) -> dict[str, str]:
    """Return the fingerprint of the accepted code changes, for the report, which shows them."""
    path = os.environ.get(provenance.ACCEPTED)
    if stage != "report" or path is None:
        return {}
    return {"accepted": files.sha256(Path(path))[:16] if Path(path).is_file() else ""}
