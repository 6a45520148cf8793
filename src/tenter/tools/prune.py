"""Results of pairs, models and chunks that a study no longer has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tenter.study import Study

TABLES = "tables"


def prune(config: Path, /, *, yes: bool = False) -> str:
    """List results that belong to no pair, model or chunk of the study any more.

    Such results are never mixed into a summary; they only take room.

    Args:
        config: the study's configuration file.
        yes: remove what is listed.
    """
    study = Study.load(config)
    found = sorted(_leftovers(study))
    if yes:
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not found:
        return "nothing to prune"
    verb = "removed" if yes else "would remove (repeat with --yes)"
    return "\n".join([*(str(path) for path in found), f"{verb} {len(found)} files and folders"])


def _leftovers(study: Study) -> Iterator[Path]:
    root = study.results
    models = set(study.registering_models)
    pairs = {pair.id for pair in study.pairs}
    chunks = set(study.chunks)
    yield from _others(root / "cases", pairs | {TABLES})
    for room in ("models", "checkpoints", "metrics", "warped_labels", "mapped_points"):
        yield from _others(root / room, models)
    yield from _others(root / "fields", models | {TABLES})
    for model in models:
        yield from _others(root / "fields" / model, pairs)
        yield from _others(root / "warped_labels" / model, pairs)
        yield from _others(root / "mapped_points" / model, pairs)
        yield from _others(root / "metrics" / model, chunks)
        yield from _others(root / "fields" / TABLES / model, chunks)
        if model in study.models:
            folds = {f"fold-{fold}" for fold in study.trained_folds(model)}
            yield from _others(root / "models" / model, folds)
            yield from _others(root / "checkpoints" / model, folds)
    yield from _others(root / "fields" / TABLES, models)
    yield from _others(root / "cases" / TABLES, chunks)


def _others(folder: Path, known: set[str]) -> Iterator[Path]:
    """What lies in a folder and is none of the known names (up to their first point)."""
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.name.partition(".")[0] not in known)
