"""The table of commands: the module and a one-line summary of each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command.

    Attributes:
        module: module with a function of the command's name.
        summary: one line for the overview.
        stage: whether it is a step of the workflow (otherwise a tool).
    """

    module: str
    summary: str
    stage: bool = True


COMMANDS = {
    "check": Command("tenter.stages.check", "find all errors of a study before anything runs"),
    "simulate": Command(
        "tenter.stages.simulate", "simulate a cohort of MR-like and ultrasound-like phantoms"
    ),
    "plan": Command(
        "tenter.stages.plan", "derive the common grid and rules from a cohort's headers"
    ),
    "start-tracking": Command(
        "tenter.stages.start_tracking", "create the MLflow database and experiment"
    ),
    "prepare-images": Command(
        "tenter.stages.prepare_images", "resample image pairs to the common grid"
    ),
    "prepare-labels": Command(
        "tenter.stages.prepare_labels", "resample their labels to the common grid"
    ),
    "train": Command("tenter.stages.train", "train one fold of a model; resumes where it stopped"),
    "infer": Command("tenter.stages.infer", "register pairs; reads no labels"),
    "baseline": Command(
        "tenter.stages.baseline", "register pairs without a network; reads no labels"
    ),
    "evaluate": Command(
        "tenter.stages.evaluate", "measure registered pairs on the original fixed grid"
    ),
    "summarise": Command(
        "tenter.stages.summarise", "compute medians, intervals, failure rates and comparisons"
    ),
    "publish": Command("tenter.stages.publish", "mirror models and folds to MLflow"),
    "report": Command("tenter.stages.report", "write the HTML report"),
    "register": Command(
        "tenter.tools.register", "register one new patient with a finished model", stage=False
    ),
    "warp": Command(
        "tenter.tools.warp", "warp an image, labels or points with a transform", stage=False
    ),
    "accept": Command(
        "tenter.tools.accept", "declare a code change harmless for finished results", stage=False
    ),
    "prune": Command(
        "tenter.tools.prune", "list or remove results of removed pairs and models", stage=False
    ),
    "status": Command(
        "tenter.tools.status", "show what is done, and what is missing or damaged", stage=False
    ),
}


def overview() -> str:
    """Return the text of `tenter --help`."""
    width = max(map(len, COMMANDS)) + 2
    lines = [
        "tenter: weakly supervised registration of cohorts of image pairs",
        "",
        "usage: tenter <command> [flags]        tenter <command> --help",
        "",
        "Run a study with `snakemake --profile profiles/local --configfile config/<study>.yaml`;",
        "single steps can be run by hand:",
        *(
            f"  {name:{width}}{command.summary}"
            for name, command in COMMANDS.items()
            if command.stage
        ),
        "",
        "besides the workflow:",
        *(
            f"  {name:{width}}{command.summary}"
            for name, command in COMMANDS.items()
            if not command.stage
        ),
        "",
        "for every command: --debug shows tracebacks; `tenter --version` prints the version",
    ]
    return "\n".join(lines)


def unknown(name: str) -> str:
    """Return the error message for an unknown command."""
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"no command {name!r}; " + (
        f"did you mean {near[0]!r}?" if near else "see `tenter --help`"
    )
