"""What of a study is done, running, waiting or failed, and whether files are as they were written."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenter import files, steps
from tenter.errors import DataError
from tenter.study import Study
from tenter.tools import jobs, wholeness
from tenter.tools.jobs import Work
from tenter.tools.staleness import Staleness

RETRAIN = "delete it and run the workflow again: its fold is trained again"


def status(config: Path, /, *, verify: bool = False) -> str:
    """Say what a study has, what is stale and why, and who works on it; light enough for a login node.

    Run it where snakemake was started. It reads files and logs, and asks Slurm where there is one.

    Args:
        config: the study's configuration file.
        verify: read every file that the study wrote and compare its content with what was recorded.

    Raises:
        DataError: with `verify`, naming every missing or changed file, and how to get it again.
    """
    study = Study.load(config)
    root = study.results
    work = jobs.look(Path())
    locked = jobs.lock(Path())
    lines = [f"{study.config.study}: {len(study.pairs)} pairs, {len(study.chunks)} chunks, results in {root}"]
    lines += [line for line in (work.silent, locked) if line]
    if not root.is_dir():
        return "\n".join([*lines, _absent(root)])
    lines += _overview(study, work)
    lines += Staleness(study).lines()
    if verify:
        lines.append(wholeness.verify(study))
    return "\n".join(lines)


def _absent(root: Path) -> str:
    where = "" if root.is_absolute() else f" in {Path().absolute()}"
    remedy = "" if root.is_absolute() else ", or this is not the folder where snakemake was started; go there"
    return f"{root} does not exist{where}: nothing has been run yet{remedy}"


def _overview(study: Study, work: Work) -> list[str]:
    """How far each step is, stage by stage and model by model."""
    lost = wholeness.lost(study, (*wholeness.FOLDERS, "evaluate"))
    found: dict[tuple[str, str | None], dict[str, Path]] = {}
    for step in steps.steps(study).values():
        chunk = step.name.rpartition(" ")[2]
        found.setdefault((step.stage, step.model), {})[chunk] = step.outputs[0]
    titles = {
        "prepare_images": "chunks with prepared images",
        "prepare_labels": "chunks with prepared labels",
        "infer": "{}: registered chunks",
        "evaluate": "{}: measured chunks",
    }
    lines = []
    for (stage, model), outputs in found.items():
        if stage == "train":
            for fold in outputs:
                lines += _fold(study.results, str(model), fold, work)
        elif stage in titles:
            kind = f"{stage}/{model}" if model else stage
            lines += _chunks(study.results, work, kind, (outputs, lost), titles[stage].format(model))
    return lines + _closing(study.results, work)


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


def _chunks(
    root: Path,
    work: Work,
    kind: str,
    tables: tuple[Mapping[str, Path], Mapping[Path, Sequence[str]]],
    title: str,
) -> list[str]:
    """How many chunks of a stage are done and under way, which failed, and which lost files.

    Args:
        root: of the results.
        work: what is under way.
        kind: the stage and its model, as its logs lie: `infer/<model>`.
        tables: the table of each chunk, and what is wrong with those that name missing files.
        title: what is counted.
    """
    outputs, lost = tables
    counts = {"done": 0}
    lines: list[str] = []
    for chunk, output in outputs.items():
        now = work.on(f"{kind}_{chunk}".replace("/", "_"), output)
        log = root / "logs" / kind / f"{chunk}.log"
        state = now.partition(" ")[0] or ("with missing files" if output in lost else "done")
        if now or output.is_file():
            counts[state] = counts.get(state, 0) + 1
            lines += [f"  | {fault}" for fault in lost.get(output, [])[: jobs.TAIL] if not now]
        else:
            wildcards = f"{kind}/{chunk}".partition("/")[2].replace("/", "_")
            lines += _failure(f"{title}: {chunk}", log, kind.partition("/")[0], wildcards)
    done = counts.pop("done")
    under_way = "".join(f", {count} {state}" for state, count in sorted(counts.items()))
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
