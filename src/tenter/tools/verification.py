"""Verify that a study's files exist and are unchanged; find the jobs that restore lost files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tenter import files, provenance, registrars, steps, tables
from tenter.errors import DataError
from tenter.records import Fault
from tenter.steps import Step
from tenter.study import Study

FOLDERS = dict.fromkeys(("prepare_images", "prepare_labels"), "cases")
FOLDERS |= dict.fromkeys(registrars.RULES, "fields")
"""Stages whose output is a table of pair files, with the folder that it describes."""

COMMAND = "snakemake {target}--profile profiles/local --configfile {config}"
"""The target comes first: Snakemake reads whatever follows --configfile as configurations."""


def lost(study: Study, stages: Iterable[str]) -> dict[Path, list[Fault]]:
    """Return the tables that name files which are missing or of another size, with their faults.

    Snakemake only knows the tables; it is forced to run these jobs, which write the files again.

    Args:
        study: the study.
        stages: stages whose outputs are checked.
    """
    stage_names = set(stages)
    table_faults = {}
    for step in steps.steps(study).values():
        (output, *_) = step.outputs
        if step.stage in stage_names and output.is_file():
            faults = [
                *_pair_faults(study, step, content=False),
                *_carried_faults(study, step, content=False),
            ]
            if faults:
                table_faults[output] = faults
    return table_faults


def verify(study: Study) -> str:
    """Read every file that the study's steps wrote and compare its content with what was recorded.

    Raises:
        DataError: files are missing or changed; all are named, with how to get them again.
    """
    known = steps.steps(study)
    read: dict[Path, bool] = {}  # whether a result made from an output exists
    for step in known.values():
        complete = all(path.is_file() for path in step.outputs)
        read |= {path: complete or read.get(path, False) for path in step.inputs}
        if step.stage == "publish":  # the last stage: missed if the report exists
            read |= {
                path: all(page.is_file() for page in known["report"].outputs)
                for path in step.outputs
            }
    faults = [
        fault
        for step in known.values()
        for fault in (*_missing(study, step, read), *_changed(study, step))
    ]
    if faults:
        raise DataError(faults)
    count = sum(_size(step) for step in known.values())
    return f"verified {count} files: all as they were written"


def _command(study: Study, step: Step) -> str:
    """What makes a step's files again."""
    target = "cases " if step.stage in steps.INTERMEDIATE else ""
    return f"run `{COMMAND.format(target=target, config=study.path)}` (or with your own profile)"


def _remedy(study: Study, step: Step) -> str:
    """What makes a step's files again, whether they are missing or changed."""
    return f"delete it, if it is still there, and {_command(study, step)}"


def _missing(study: Study, step: Step, read: dict[Path, bool]) -> Iterator[Fault]:
    """Yield missing outputs whose provenance, or a result made from them, still exists."""
    for path in step.outputs:
        record = (
            None if step.provenance is None else provenance.recorded(_provenance_base(step, path))
        )
        if not path.is_file() and (record is not None or read.get(path, False)):
            yield Fault(str(path), "is missing", _command(study, step))


def _changed(study: Study, step: Step) -> Iterator[Fault]:
    existing = [path for path in step.outputs if path.is_file()]
    if step.provenance is None or not existing:
        return
    if step.stage == "plan":  # users renew it by hand if necessary
        return
    fix = _remedy(study, step)
    for base in dict.fromkeys(_provenance_base(step, path) for path in existing):
        if base == step.provenance and provenance.recorded(base) is None:
            message = "has no provenance beside it: what it was made from is not known"
            yield Fault(str(base), message, fix)
        # `_missing` names what is missing.
        yield from (fault for fault in provenance.damage(base, fix) if Path(fault.file).is_file())
    yield from _pair_faults(study, step, content=True)
    yield from _carried_faults(study, step, content=True)


def _provenance_base(step: Step, path: Path) -> Path:
    """Return the file or folder beside which an output's provenance lies."""
    base = step.provenance
    return base if base is not None and base != step.outputs[0] else path


def _pair_faults(study: Study, step: Step, *, content: bool) -> list[Fault]:
    """Return faults of the pair files that a step's table names."""
    if step.stage not in FOLDERS or not step.outputs[0].is_file():
        return []
    folder = study.results / FOLDERS[step.stage] / (step.model or "")
    if not content and tables.is_whole(step.outputs[0], folder):
        return []
    try:
        entries = tables.read(step.outputs[0])
    except (DataError, ValueError, IndexError):
        return []  # a damaged table is a fault of its own
    return tables.faults(entries, folder, _remedy(study, step), content=content)


def _carried_faults(study: Study, step: Step, *, content: bool) -> Iterator[Fault]:
    """Yield faults of warped labels and mapped points, which evaluation writes beside its table."""
    record = provenance.recorded(step.outputs[0]) if step.stage == "evaluate" else None
    for name, sha256 in (record or {}).get("carried", {}).items():
        path = Path(os.path.normpath(step.outputs[0].parent / name))
        if not path.is_file():
            yield Fault(str(path), "is missing", _remedy(study, step))
        elif content and files.sha256(path) != sha256:
            message = "is not the file that was written (sha256 differs)"
            yield Fault(str(path), message, _remedy(study, step))


def _size(step: Step) -> int:
    """Count the files that were compared."""
    existing = sum(path.is_file() for path in step.outputs)
    named = step.stage in FOLDERS and step.outputs[0].is_file()
    return existing + (len(tables.read(step.outputs[0])) if named else 0)
