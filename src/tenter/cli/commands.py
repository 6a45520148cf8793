"""The table of commands: where each lives, and what it is for in one line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command.

    Attributes:
        module: module that holds a function of the command's name.
        summary: one line for the overview.
        stage: whether it is a step of the workflow (else a tool beside it).
    """

    module: str
    summary: str
    stage: bool = True


COMMANDS = {
    "check": Command("tenter.stages.check", "find every fault of a study before anything runs"),
    "simulate": Command("tenter.stages.simulate", "make a cohort of MR-like and ultrasound-like phantoms"),
    "plan": Command("tenter.stages.plan", "derive the common grid and rules from a cohort's headers"),
    "start-tracking": Command("tenter.stages.start_tracking", "make the MLflow database and experiment"),
    "prepare-images": Command("tenter.stages.prepare_images", "bring image pairs onto the common grid"),
    "prepare-labels": Command("tenter.stages.prepare_labels", "bring their labels onto the common grid"),
    "train": Command("tenter.stages.train", "train one fold of a model; resumes where it stopped"),
    "infer": Command("tenter.stages.infer", "register pairs; sees no label"),
    "evaluate": Command("tenter.stages.evaluate", "measure registered pairs on the original fixed grid"),
    "summarise": Command("tenter.stages.summarise", "medians, intervals, failure rates and comparisons"),
    "publish": Command("tenter.stages.publish", "mirror a model's folds to MLflow"),
    "report": Command("tenter.stages.report", "write the report that people read"),
    "register": Command("tenter.tools.register", "register one new patient by a finished model", stage=False),
    "warp": Command("tenter.tools.warp", "carry an image, labels or points through a transform", stage=False),
    "accept": Command(
        "tenter.tools.accept", "declare a code change harmless for finished results", stage=False
    ),
    "prune": Command("tenter.tools.prune", "list or remove results of removed pairs and models", stage=False),
    "status": Command("tenter.tools.status", "what is done, and what is missing or damaged", stage=False),
}


def overview() -> str:
    """The text of `tenter --help`."""
    width = max(map(len, COMMANDS)) + 2
    lines = [
        "tenter: weakly-supervised registration of image pairs, by the cohort",
        "",
        "usage: tenter <command> [flags]        tenter <command> --help",
        "",
        "A study runs by `snakemake --profile profiles/local --configfile config/<study>.yaml`;",
        "the steps can be run by hand:",
        *(f"  {name:{width}}{item.summary}" for name, item in COMMANDS.items() if item.stage),
        "",
        "beside the workflow:",
        *(f"  {name:{width}}{item.summary}" for name, item in COMMANDS.items() if not item.stage),
        "",
        "everywhere: --debug shows tracebacks, --version the version",
    ]
    return "\n".join(lines)


def unknown(name: str) -> str:
    """What to say of a command that is none."""
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"no command {name!r}; " + (f"did you mean {near[0]!r}?" if near else "see `tenter --help`")
