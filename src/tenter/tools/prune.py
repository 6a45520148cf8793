"""List or remove results of pairs, models, baselines and chunks that a study no longer has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tenter.result_files import ResultFiles
from tenter.study import Study

TABLES = "tables"


def prune(config: Path, /, *, yes: bool = False) -> str:
    """List results that no longer belong to any pair, model, baseline or chunk of the study.

    Such results never enter a summary; they only use disk space.

    Args:
        config: Configuration file (YAML) of the study.
        yes: Remove the listed results.
    """
    study = Study.load(config)
    leftovers = sorted(_leftovers(study))
    if yes:
        for path in leftovers:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not leftovers:
        return "nothing to prune"
    verb = "removed" if yes else "would remove (repeat with --yes)"
    return "\n".join(
        [*(str(path) for path in leftovers), f"{verb} {len(leftovers)} files and folders"]
    )


def _leftovers(study: Study) -> Iterator[Path]:
    root, results = study.results, ResultFiles.of(study.results)
    names = set(study.registrars)
    pairs = {pair.id for pair in study.cohort.pairs}
    chunks = set(study.cohort.chunks)
    yield from _unknown_entries(results.cases, pairs | {TABLES})
    for kind in ("metrics", "warped_labels", "mapped_points"):
        yield from _unknown_entries(root / kind, names)
    yield from _unknown_entries(results.fields, names | {TABLES})
    for name in names:
        yield from _unknown_entries(results.fields / name, pairs)
        yield from _unknown_entries(root / "warped_labels" / name, pairs)
        yield from _unknown_entries(root / "mapped_points" / name, pairs)
        yield from _unknown_entries(root / "metrics" / name, chunks)
        yield from _unknown_entries(results.fields / TABLES / name, chunks)
    yield from _unknown_entries(results.fields / TABLES, names)
    networks = {name for name, registrar in study.registrars.items() if registrar.has_networks}
    for folder in (results.models, root / "checkpoints"):
        yield from _unknown_entries(folder, networks)
        for model in study.models:
            folds = {f"fold-{fold}" for fold in study.trained_folds(model)}
            yield from _unknown_entries(folder / model, folds)
    yield from _unknown_entries(results.cases / TABLES, chunks)


def _unknown_entries(folder: Path, known: set[str]) -> Iterator[Path]:
    """Yield the entries of a folder whose name, up to its first point, is not known."""
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.name.partition(".")[0] not in known)
