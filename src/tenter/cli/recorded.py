"""Around every stage: its inputs are verified before it runs, its provenance is recorded after."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tenter import files, manifest, provenance
from tenter.errors import DataError

READ = {
    "prepare_labels": ("images",),
    "train": ("images", "labels"),
    "infer": ("images", "models"),
    "evaluate": ("fields",),
    "summarise": ("metrics",),
    "report": ("metrics", "summary", "comparison", "challenges"),
}
"""Flags of a stage that name outputs of other stages: tables, or folders of finished models."""

MORE_OUTPUTS = {"summarise": ("summary", "comparison", "challenges")}
"""Flags that name outputs beside the main one."""

CARRIED = {"warped_labels": ".nii.gz", "mapped_points": ".tsv"}
"""Flags that name folders of further files, one a pair, with how these files end."""

DESCRIPTION = "model.json"
"""The file of a finished model's folder that the workflow declares as an input."""


def recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A command's function; of a stage, one that also verifies its inputs and code, and records it.

    Args:
        name: the command, such as `prepare-images`.
        function: what it runs.
    """
    stage = name.replace("-", "_")
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def run(**flags: Any) -> Any:  # noqa: ANN401 - whatever the stage takes
        inputs = _verified(_named(flags, READ.get(stage, ())))
        if "settings" not in known:
            return function(**flags)
        settings = files.canonical(flags["settings"].model_dump(mode="json"))
        code = flags.get("code") or provenance.fingerprint(stage, settings)
        provenance.verify(stage, settings, code)
        result = function(**flags)
        read = {**_rows(stage, flags), "inputs": inputs, **_carried(flags), **_accepted(stage)}
        main = flags.get("table") or flags["output"]
        for output in (main, *_named(flags, MORE_OUTPUTS.get(stage, ()))):
            provenance.record(output, stage, settings, code, read=read)
        return result

    return run if stage in READ or "settings" in known else function


def _named(flags: Mapping[str, Any], names: Iterable[str]) -> list[Path]:
    """The paths that flags name."""
    found: list[Path] = []
    for name in names:
        value = flags.get(name)
        if value is not None:
            found.extend([value] if isinstance(value, Path) else value)
    return found


def _verified(paths: Iterable[Path]) -> dict[str, str]:
    """Sha256 of each input that is there, after comparing it with what was recorded when it was written.

    Raises:
        DataError: naming every input that has changed since.
    """
    found: dict[str, str] = {}
    wrong: list[str] = []
    for path in paths:
        wrong += provenance.damage(path)
        file = path / DESCRIPTION if path.is_dir() else path
        if file.is_file():
            found[str(file)] = files.sha256(file)
    if wrong:
        raise DataError("\n".join([*wrong, "delete what is named here and run the same command again"]))
    return found


def _rows(stage: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The pairs that a stage worked on, with their rows and the files that it read of them, where it did."""
    ids = flags.get("pairs")
    if not isinstance(ids, tuple):
        return {}
    if stage not in manifest.SOURCES:
        return {"pairs": dict.fromkeys(ids)}
    folder = flags["manifest"].parent
    pairs = manifest.pairs(flags["manifest"], ids)
    sources = [path for path in manifest.sources(pairs, manifest.SOURCES[stage]) if path.is_file()]
    return {
        "pairs": {pair.id: manifest.row(pair, folder) for pair in pairs},
        "sources": {os.path.relpath(path, folder): files.sha256(path) for path in sources},
    }


def _carried(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Sha256 of the pair files that evaluation wrote beside its table."""
    places = [(flags[name], suffix) for name, suffix in CARRIED.items() if flags.get(name) is not None]
    paths = [folder / f"{pair}{suffix}" for folder, suffix in places for pair in flags["pairs"]]
    return {"carried": {str(path): files.sha256(path) for path in paths if path.is_file()}} if places else {}


def _accepted(stage: str) -> dict[str, str]:
    """Of the report, which shows them: fingerprint of the accepted code changes."""
    path = os.environ.get(provenance.ACCEPTED)
    if stage != "report" or path is None:
        return {}
    return {"accepted": files.sha256(Path(path))[:16] if Path(path).is_file() else ""}
