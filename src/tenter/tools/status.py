"""Say what of a study is done, running, waiting or failed, and verify its files."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenter import files, finished, registrars, steps
from tenter.errors import DataError
from tenter.history import RETRAIN
from tenter.records import Fault
from tenter.result_files import REPORT, SUMMARY, ResultFiles
from tenter.study import Study
from tenter.tools import jobs, verification
from tenter.tools.jobs import Work
from tenter.tools.staleness import Staleness


def status(config: Path, /, *, verify: bool = False) -> str:
    """Show the progress of a study, what is stale and why, and which jobs are running.

    Run it in the folder where snakemake was started. It reads files and logs, asks Slurm if it is
    installed, and is light enough for a login node.

    Args:
        config: Configuration file (YAML) of the study.
        verify: Read every file that the study wrote and compare its content with its record.

    Raises:
        DataError: with `verify`, files are missing or changed; the message names them, and how to
            get them again.
    """
    study = Study.load(config)
    root = study.results
    work = jobs.look(Path())
    locked = jobs.lock(Path())
    lines = [
        (
            f"{study.config.study}: {len(study.cohort.pairs)} pairs, "
            f"{len(study.cohort.chunks)} chunks, results in {root}"
        )
    ]
    lines += [line for line in (work.silent, locked) if line]
    if not root.is_dir():
        return "\n".join([*lines, _not_started(root)])
    lines += _overview(study, work)
    lines += Staleness(study).lines()
    if verify:
        lines.append(verification.verify(study))
    return "\n".join(lines)


def _not_started(root: Path) -> str:
    where = "" if root.is_absolute() else f" in {Path().absolute()}"
    remedy = (
        ""
        if root.is_absolute()
        else ", or this is not the folder where snakemake was started; go there"
    )
    return f"{root} does not exist{where}: nothing has been run yet{remedy}"


def _overview(study: Study, work: Work) -> list[str]:
    """Describe the progress of each stage and model."""
    lost = verification.lost(study, (*verification.FOLDERS, "evaluate"))
    outputs_by_step: dict[tuple[str, str | None], dict[str, Path]] = {}
    for step in steps.steps(study).values():
        chunk = step.name.rpartition(" ")[2]
        outputs_by_step.setdefault((step.stage, step.model), {})[chunk] = step.outputs[0]
    titles = {
        "prepare_images": "chunks with prepared images",
        "prepare_labels": "chunks with prepared labels",
        "evaluate": "{}: measured chunks",
    } | dict.fromkeys(registrars.RULES, "{}: registered chunks")
    lines = []
    for (stage, model), outputs in outputs_by_step.items():
        if stage == "train":
            for fold in outputs:
                lines += _fold(study.results, str(model), fold, work)
        elif stage in titles:
            kind = f"{stage}/{model}" if model else stage
            lines += _chunks(
                study.results, work, kind, (outputs, lost), titles[stage].format(model)
            )
    return lines + _final_steps(study.results, work)


def _fold(root: Path, model: str, fold: str, work: Work) -> list[str]:
    """Describe a training: its state, and the last progress that it logged."""
    folder = ResultFiles.of(root).trained(model, fold)
    log = root / "logs/train" / model / f"fold-{fold}.log"
    activity = work.on(f"train_{model}_{fold}", folder)
    # The log of a job starts anew with each job; train.log keeps all messages.
    progress = _progress(log) or _progress(
        root / "checkpoints" / model / f"fold-{fold}" / "train.log"
    )
    name = f"{model}, fold {fold}"
    if activity:
        ago = f", {time.time() - log.stat().st_mtime:.0f} s ago" if _progress(log) else ""
        return [f"{name}: {activity}{_progress_text(progress)}{ago}"]
    if (folder / finished.DESCRIPTION).is_file():
        try:
            path = folder / finished.DESCRIPTION
            steps = files.read_object(path, {"steps": int}, RETRAIN)["steps"]
        except DataError as error:
            return [f"{name}: damaged ({error})"]
        return [
            f"{name}: trained ({steps} steps){_progress_text(_without(progress, 'step', 'left'))}"
        ]
    lines = [*jobs.tail(log), *jobs.verdict(Path(), "train", f"{model}_{fold}")]
    if not lines:
        return [f"{name}: waiting"]
    if jobs.failed(lines):
        return [
            f"{name}: failed{_progress_text(_without(progress, 'left'))} ({log})",
            *_indented(lines),
        ]
    return [
        (
            f"{name}: stopped, goes on when snakemake runs"
            f"{_progress_text(_without(progress, 'left'))} ({log})"
        )
    ]


def _progress(log: Path) -> dict[str, str]:
    """Read a training's last progress: step, loss, validation metrics, time left."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    progress: dict[str, str] = {}
    for step, figures in re.findall(r"step (\d+/\d+), (.*)", text):
        progress |= {"step": f"step {step}"}
        for name, value in re.findall(r"\b(loss|val_dice|val_tre_mm) (\S+?)(?:,|$)", figures):
            at = f" at step {step.partition('/')[0]}" if name != "loss" else ""
            progress[name] = f"{name} {value}{at}"
        progress["left"] = figures.rpartition(", ")[2]
    return progress


def _without(progress: dict[str, str], *names: str) -> dict[str, str]:
    return {name: text for name, text in progress.items() if name not in names}


def _progress_text(progress: dict[str, str]) -> str:
    order = ("step", "loss", "val_dice", "val_tre_mm", "left")
    return "".join(f", {progress[name]}" for name in order if name in progress)


def _chunks(
    root: Path,
    work: Work,
    kind: str,
    tables: tuple[Mapping[str, Path], Mapping[Path, Sequence[Fault]]],
    title: str,
) -> list[str]:
    """Count the chunks of a stage that are done or running; name those that failed or lost files.

    Args:
        root: folder of the results.
        work: work in progress.
        kind: stage and model, as in the path of its logs: `infer/<model>`.
        tables: the table of each chunk, and the faults of tables that name missing files.
        title: description of the chunks that are counted.
    """
    outputs, lost = tables
    counts = {"done": 0}
    lines: list[str] = []
    for chunk, output in outputs.items():
        activity = work.on(f"{kind}_{chunk}".replace("/", "_"), output)
        log = root / "logs" / kind / f"{chunk}.log"
        state = activity.partition(" ")[0] or ("with missing files" if output in lost else "done")
        if activity or output.is_file():
            counts[state] = counts.get(state, 0) + 1
            faults = lost.get(output, [])[: jobs.TAIL] if not activity else []
            lines += [f"  | {fault.file}: {fault.message}" for fault in faults]
        else:
            wildcards = f"{kind}/{chunk}".partition("/")[2].replace("/", "_")
            lines += _failure(f"{title}: {chunk}", log, kind.partition("/")[0], wildcards)
    done = counts.pop("done")
    under_way = "".join(f", {count} {state}" for state, count in sorted(counts.items()))
    return [f"{title}: {done} of {len(outputs)}{under_way}", *lines]


def _final_steps(root: Path, work: Work) -> list[str]:
    """Describe the steps that run once: statistics and the report."""
    lines = []
    for rule, name in (("summarise", SUMMARY), ("report", REPORT)):
        output = root / name
        activity = work.on(rule, output)
        failure = (
            []
            if activity or output.is_file()
            else _failure(rule, root / f"logs/{rule}.log", rule, "")
        )
        done = str(output) if output.is_file() else "not yet"
        lines += failure or [f"{name.partition('.')[0]}: {activity or done}"]
    return lines


def _failure(name: str, log: Path, rule: str, wildcards: str) -> list[str]:
    lines = [*jobs.tail(log), *jobs.verdict(Path(), rule, wildcards)]
    return [f"{name} failed ({log})", *_indented(lines)] if jobs.failed(lines) else []


def _indented(lines: list[str]) -> list[str]:
    return [f"  | {line}" for line in lines]
