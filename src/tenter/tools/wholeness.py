"""Whether the files of a study are there and as they were written, and which jobs make lost ones again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tenter import files, provenance, steps, tables
from tenter.errors import DataError
from tenter.steps import Step
from tenter.study import Study

FOLDERS = {"prepare_images": "cases", "prepare_labels": "cases", "infer": "fields"}
"""Stages whose output is a table of pair files, with the folder that it describes."""

COMMAND = "snakemake {target}--profile profiles/local --configfile {config}"
"""The target comes first: Snakemake takes what follows --configfile for more configurations."""


def lost(study: Study, stages: Iterable[str]) -> dict[Path, list[str]]:
    """Tables that name files which are missing or of another size, with what is wrong.

    Snakemake knows the tables alone; it is told of these, so that it makes the pairs' files again.

    Args:
        study: the study.
        stages: of which steps to look at the outputs.
    """
    wanted = set(stages)
    found = {}
    for step in steps.steps(study).values():
        (output, *_) = step.outputs
        if step.stage in wanted and output.is_file():
            wrong = [*_pair_faults(study, step, content=False), *_carried_faults(step, content=False)]
            if wrong:
                found[output] = wrong
    return found


def verify(study: Study) -> str:
    """Read every file that the study's steps wrote and compare its content with what was recorded.

    Raises:
        DataError: naming every file that is missing or not as it was written, and how to get it again.
    """
    known = steps.steps(study)
    read: dict[Path, bool] = {}  # whether what is made from an output is there
    for step in known.values():
        there = all(path.is_file() for path in step.outputs)
        read |= {path: there or read.get(path, False) for path in step.inputs}
        if step.stage == "publish":  # the last of all: missed where the report is there
            read |= {path: all(page.is_file() for page in known["report"].outputs) for path in step.outputs}
    wrong: dict[str, list[str]] = {}
    for step in known.values():
        faults = [*_missing(step, read), *_changed(study, step)]
        wrong |= {step.stage: [*wrong.get(step.stage, []), *faults]} if faults else {}
    if wrong:
        raise DataError("\n".join([*_shown(wrong), *_advice(study, wrong)]))
    count = sum(_size(step) for step in known.values())
    return f"verified {count} files: all as they were written"


def _missing(step: Step, read: dict[Path, bool]) -> Iterator[str]:
    """Outputs that are not there although their record is, or what was made from them."""
    for path in step.outputs:
        record = None if step.provenance is None else provenance.recorded(_place(step, path))
        if not path.is_file() and (record is not None or read.get(path, False)):
            yield f"{path} is missing"


def _changed(study: Study, step: Step) -> Iterator[str]:
    there = [path for path in step.outputs if path.is_file()]
    if step.provenance is None or not there:
        return
    if step.stage == "plan":  # renewed by hand where it must be
        return
    for place in dict.fromkeys(_place(step, path) for path in there):
        if place == step.provenance and provenance.recorded(place) is None:
            yield f"{place} has no provenance beside it: what it was made from is not known"
        yield from (fault for fault in provenance.damage(place) if not fault.endswith("is missing"))
    yield from _pair_faults(study, step, content=True)
    yield from _carried_faults(step, content=True)


def _place(step: Step, path: Path) -> Path:
    """The file or folder beside which an output's provenance lies."""
    own = step.provenance
    return own if own is not None and own != step.outputs[0] else path


def _pair_faults(study: Study, step: Step, *, content: bool) -> list[str]:
    """Faults of the pair files that a step's table names."""
    if step.stage not in FOLDERS or not step.outputs[0].is_file():
        return []
    folder = study.results / FOLDERS[step.stage] / (step.model or "")
    if not content and tables.is_whole(step.outputs[0], folder):
        return []
    try:
        entries = tables.read(step.outputs[0])
    except (DataError, ValueError, IndexError):
        return []  # a damaged table is a fault of its own
    return tables.faults(entries, folder, content=content)


def _carried_faults(step: Step, *, content: bool) -> Iterator[str]:
    """Faults of warped labels and mapped points, which evaluation writes beside its table."""
    record = provenance.recorded(step.outputs[0]) if step.stage == "evaluate" else None
    for name, sha256 in (record or {}).get("carried", {}).items():
        if not Path(name).is_file():
            yield f"{name} is missing"
        elif content and files.sha256(Path(name)) != sha256:
            yield f"{name} is not the file that was written (sha256 differs)"


def _size(step: Step) -> int:
    """How many files were compared."""
    own = sum(path.is_file() for path in step.outputs)
    named = step.stage in FOLDERS and step.outputs[0].is_file()
    return own + (len(tables.read(step.outputs[0])) if named else 0)


def _shown(wrong: dict[str, list[str]]) -> list[str]:
    return [fault for faults in wrong.values() for fault in faults]


def _advice(study: Study, wrong: dict[str, list[str]]) -> list[str]:
    """What to do, in order."""
    found = ["to get these files again (use your own profile, if it is another one):"]
    if any(not fault.endswith("is missing") for fault in _shown(wrong)):
        found.append("  delete the files named above that are still there, then run")
    if steps.INTERMEDIATE & wrong.keys():
        found.append("  " + COMMAND.format(target="cases ", config=study.path))
    if wrong.keys() - steps.INTERMEDIATE:
        found.append("  " + COMMAND.format(target="", config=study.path))
    return found
