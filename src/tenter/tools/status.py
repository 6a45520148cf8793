"""What of a study is done, running, waiting or failed, and whether files are as they were written."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from tenter import files, tables
from tenter.errors import DataError
from tenter.study import Study
from tenter.tools import jobs
from tenter.tools.jobs import Work

RETRAIN = "delete it and run the workflow again: its fold is trained again"


def status(config: Path, /, *, verify: bool = False) -> str:
    """Say what a study has and who works on it, fold by fold; light enough for a login node.

    Run it where snakemake was started. It reads files and logs, and asks Slurm where there is one.

    Args:
        config: the study's configuration file.
        verify: read every file that a table names and compare its content.

    Raises:
        DataError: with `verify`, naming every missing or changed file.
    """
    study = Study.load(config)
    root = study.results
    work = jobs.look(Path())
    lines = [f"{study.config.study}: {len(study.pairs)} pairs, {len(study.chunks)} chunks, results in {root}"]
    lines += [work.silent] if work.silent else []
    for kind in ("images", "labels"):
        found = {chunk: root / f"cases/tables/{chunk}.{kind}.tsv" for chunk in study.chunks}
        lines += _chunks(root, work, f"prepare_{kind}", found, f"chunks with prepared {kind}")
    for model in study.registering_models:
        lines += _model(study, root, model, work)
    lines += _closing(root, work)
    lines += study.stale_trainings(root / "models")
    if verify:
        lines.append(_verified(study, root))
    return "\n".join(lines)


def _model(study: Study, root: Path, model: str, work: Work) -> list[str]:
    lines = []
    for fold in study.trained_folds(model) if model in study.models else []:
        lines += _fold(root, model, fold, work)
    chunks = study.registered_chunks()
    registered = {chunk: root / "fields/tables" / model / f"{chunk}.tsv" for chunk in chunks}
    measured = {chunk: root / "metrics" / model / f"{chunk}.tsv" for chunk in chunks}
    lines += _chunks(root, work, f"infer/{model}", registered, f"{model}: registered chunks")
    lines += _chunks(root, work, f"evaluate/{model}", measured, f"{model}: measured chunks")
    carried = list(_carried(study, root, model))
    if carried:
        there = sum(path.is_file() for path in carried)
        lines.append(f"{model}: {there} of {len(carried)} files of warped labels and mapped points")
    return lines


def _fold(root: Path, model: str, fold: str, work: Work) -> list[str]:
    """How a training stands: its state, and what it last said of itself."""
    folder = root / "models" / model / f"fold-{fold}"
    log = root / "logs/train" / model / f"fold-{fold}.log"
    doing = work.on(f"train_{model}_{fold}", folder)
    # A job's log begins anew with it; the other has all that was ever said.
    told = _told(log) or _told(root / "checkpoints" / model / f"fold-{fold}" / "train.log")
    name = f"{model}, fold {fold}"
    if doing:
        ago = f", {time.time() - log.stat().st_mtime:.0f} s ago" if _told(log) else ""
        return [f"{name}: {doing}{_after(told)}{ago}"]
    if (folder / "model.json").is_file():
        try:
            steps = files.read_object(folder / "model.json", {"steps": int}, RETRAIN)["steps"]
        except DataError as error:
            return [f"{name}: damaged ({error})"]
        return [f"{name}: trained ({steps} steps){_after(_without(told, 'step', 'left'))}"]
    lines = [*jobs.tail(log), *jobs.verdict(Path(), "train", f"{model}_{fold}")]
    if not lines:
        return [f"{name}: waiting"]
    if jobs.failed(lines):
        return [f"{name}: failed{_after(_without(told, 'left'))} ({log})", *_shown(lines)]
    return [f"{name}: stopped, goes on when snakemake runs{_after(_without(told, 'left'))} ({log})"]


def _told(log: Path) -> dict[str, str]:
    """What a training last said: step, loss, figures of held-out pairs, time left."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    told: dict[str, str] = {}
    for step, figures in re.findall(r"step (\d+/\d+), (.*)", text):
        told |= {"step": f"step {step}"}
        for name, value in re.findall(r"\b(loss|val_dice|val_tre_mm) (\S+?)(?:,|$)", figures):
            at = f" at step {step.partition('/')[0]}" if name != "loss" else ""
            told[name] = f"{name} {value}{at}"
        told["left"] = figures.rpartition(", ")[2]
    return told


def _without(told: dict[str, str], *names: str) -> dict[str, str]:
    return {name: text for name, text in told.items() if name not in names}


def _after(told: dict[str, str]) -> str:
    order = ("step", "loss", "val_dice", "val_tre_mm", "left")
    return "".join(f", {told[name]}" for name in order if name in told)


def _chunks(root: Path, work: Work, kind: str, outputs: dict[str, Path], title: str) -> list[str]:
    """How many chunks of a stage are done and under way, and which failed.

    Args:
        root: of the results.
        work: what is under way.
        kind: the stage and its model, as its logs lie: `infer/<model>`.
        outputs: the table of each chunk.
        title: what is counted.
    """
    done = 0
    doing: dict[str, int] = {}
    lines: list[str] = []
    for chunk, output in outputs.items():
        now = work.on(f"{kind}_{chunk}".replace("/", "_"), output)
        log = root / "logs" / kind / f"{chunk}.log"
        if now:
            state = now.partition(" ")[0]
            doing[state] = doing.get(state, 0) + 1
        elif output.is_file():
            done += 1
        else:
            wildcards = f"{kind}/{chunk}".partition("/")[2].replace("/", "_")
            lines += _failure(f"{title}: {chunk}", log, kind.partition("/")[0], wildcards)
    under_way = "".join(f", {count} {state}" for state, count in sorted(doing.items()))
    return [f"{title}: {done} of {len(outputs)}{under_way}", *lines]


def _closing(root: Path, work: Work) -> list[str]:
    """The steps that come once: statistics and the report."""
    lines = []
    for rule, name in (("summarise", "summary.tsv"), ("report", "report.html")):
        output = root / name
        now = work.on(rule, output)
        failure = [] if now or output.is_file() else _failure(rule, root / f"logs/{rule}.log", rule, "")
        done = str(output) if output.is_file() else "not yet"
        lines += failure or [f"{name.partition('.')[0]}: {now or done}"]
    return lines


def _failure(name: str, log: Path, rule: str, wildcards: str) -> list[str]:
    lines = [*jobs.tail(log), *jobs.verdict(Path(), rule, wildcards)]
    return [f"{name} failed ({log})", *_shown(lines)] if jobs.failed(lines) else []


def _shown(lines: list[str]) -> list[str]:
    return [f"  | {line}" for line in lines]


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
