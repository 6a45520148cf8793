"""The table of commands: the module and a one-line summary of each.

Each module of `stages` is a command; one that is not in `LISTED` is summarised by its docstring.
"""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path

STAGES = Path(__file__).parents[1] / "stages"
"""Folder of the stages."""


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


LISTED = {
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


def _unlisted() -> dict[str, Command]:
    """The stages that are not in `LISTED`."""
    paths = {path.stem.replace("_", "-"): path for path in sorted(STAGES.glob("[!_]*.py"))}
    return {
        name: Command(f"tenter.stages.{path.stem}", _summary(path))
        for name, path in paths.items()
        if name not in LISTED
    }


def _summary(path: Path) -> str:
    """First line of a module's docstring, as a summary is written."""
    docstring = ast.get_docstring(ast.parse(path.read_bytes())) or "not described"
    line = docstring.partition("\n")[0].rstrip(".")
    return line[:1].lower() + line[1:]


COMMANDS = LISTED | _unlisted()
"""Every command by its name."""


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
