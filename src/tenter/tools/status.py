"""What of a study is done, what is missing, and whether files are as they were written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tenter import files, tables
from tenter.errors import DataError
from tenter.study import Study


def status(config: Path, /, *, verify: bool = False) -> str:
    """Say what a study has, fold by fold and chunk by chunk; light enough for a login node.

    Args:
        config: the study's configuration file.
        verify: read every file that a table names and compare its content.

    Raises:
        DataError: with `verify`, naming every missing or changed file.
    """
    study = Study.load(config)
    root = study.results
    lines = [f"{study.config.study}: {len(study.pairs)} pairs, {len(study.chunks)} chunks, results in {root}"]
    lines += _prepared(study, root)
    for model in study.registering_models:
        lines += _model(study, root, model)
    report = root / "report.html"
    lines.append(f"report: {report}" if report.is_file() else "report: not yet")
    lines += study.stale_trainings(root / "models")
    if verify:
        lines.append(_verified(study, root))
    return "\n".join(lines)


def _prepared(study: Study, root: Path) -> list[str]:
    folder = root / "cases/tables"
    done = sum((folder / f"{chunk}.images.tsv").is_file() for chunk in study.chunks)
    return [f"prepared chunks: {done} of {len(study.chunks)}"]


def _model(study: Study, root: Path, model: str) -> list[str]:
    lines = []
    for fold in study.trained_folds(model) if model in study.models else []:
        path = root / "models" / model / f"fold-{fold}" / "model.json"
        if path.is_file():
            lines.append(f"{model}, fold {fold}: trained ({files.read_json(path)['steps']} steps)")
        elif any((root / "checkpoints" / model / f"fold-{fold}").glob("*")):
            log = root / "logs/train" / model / f"fold-{fold}.log"
            lines.append(f"{model}, fold {fold}: {_progress(log)} ({log})")
        else:
            lines.append(f"{model}, fold {fold}: waiting")
    chunks = study.registered_chunks()
    done = sum((root / "fields/tables" / model / f"{chunk}.tsv").is_file() for chunk in chunks)
    measured = sum((root / "metrics" / model / f"{chunk}.tsv").is_file() for chunk in chunks)
    lines.append(f"{model}: {done} of {len(chunks)} chunks registered, {measured} measured")
    carried = list(_carried(study, root, model))
    if carried:
        there = sum(path.is_file() for path in carried)
        lines.append(f"{model}: {there} of {len(carried)} files of warped labels and mapped points")
    return lines


def _carried(study: Study, root: Path, model: str) -> Iterator[Path]:
    """The files that evaluation writes beside its tables, of chunks that it has measured."""
    export = study.config.export
    for chunk in study.registered_chunks():
        if not (root / "metrics" / model / f"{chunk}.tsv").is_file():
            continue
        for pair in study.chunks[chunk]:
            if export.warped_labels and pair.labelled:
                yield root / "warped_labels" / model / f"{pair.id}.nii.gz"
            if export.points and pair.fixed_points is not None:
                yield root / "mapped_points" / model / f"{pair.id}.tsv"


def _progress(log: Path) -> str:
    """What a training last said of itself."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    told = re.findall(r"(step \d+/\d+.*)", text)
    return told[-1] if told else "begun"


def _verified(study: Study, root: Path) -> str:
    wrong: list[str] = []
    count = 0
    for table, folder in _tables(study, root):
        if table.is_file():
            entries = tables.read(table)
            count += len(entries)
            wrong += tables.faults(entries, folder, content=True)
    carried = [path for model in study.registering_models for path in _carried(study, root, model)]
    wrong += [f"{path} is missing" for path in carried if not path.is_file()]
    if wrong:
        remedy = "delete the tables of these chunks and run snakemake again: it makes only these pairs anew"
        raise DataError("\n".join([*wrong, remedy]))
    return f"verified {count} files: all as they were written"


def _tables(study: Study, root: Path) -> list[tuple[Path, Path]]:
    found = []
    for chunk in study.chunks:
        found += [
            (root / f"cases/tables/{chunk}.{kind}.tsv", root / "cases") for kind in ("images", "labels")
        ]
        found += [
            (root / f"fields/tables/{model}/{chunk}.tsv", root / "fields" / model)
            for model in study.registering_models
        ]
    return found
