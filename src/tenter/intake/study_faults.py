"""Faults of a study as a whole: folds, folders, keys without effect, and too little space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tenter import chunks
from tenter.errors import InputError
from tenter.intake import folders, labelling
from tenter.intake.forecast import Forecast
from tenter.intake.integrity import Findings
from tenter.intake.manifest_checks import some
from tenter.records import Fault, Severity
from tenter.study import Study


def faults(study: Study, findings: Findings) -> Iterator[Fault]:
    """Folds that cannot be assigned or trained, and missing folders."""
    yield from _folder_faults(study)
    yield from folders.locks(study)
    if study.applied is not None:
        return
    try:
        folds = study.cohort.folds
    except InputError as error:
        yield from (replace(fault, file=str(study.cohort.manifest)) for fault in error.faults)
        return
    if len(folds) < 2:
        fix = "use at least two folds, or leave the column out"
        yield Fault(
            str(study.cohort.manifest), f"all pairs are in fold {some(folds)}", fix, column="fold"
        )
    yield from _untested(study)
    yield from labelling.unlabelled(study, findings)


def unused_keys(study: Study) -> Iterator[Fault]:
    """Warnings about keys of older configurations that no longer have any effect."""
    for key in sorted({"bootstrap", "seed"} & study.config.summary.model_fields_set):
        message = "has no effect any more: intervals are computed without resampling"
        yield Fault(str(study.path), message, "remove the key", None, f"summary.{key}", "WARNING")


def too_little_space(study: Study, needs: Forecast) -> Iterator[Fault]:
    """A warning if the results may not fit on their disk."""
    if needs.bytes > needs.free_bytes:
        message = f"the results may not fit: {needs.lines()[0]}"
        fix = "free some space, or export less (`export`)"
        yield Fault(str(study.path), message, fix, None, "results", "WARNING")


def _untested(study: Study) -> Iterator[Fault]:
    """Folds without any pair whose patients are all in that fold."""
    tested = {chunks.tested_by(chunk) for chunk in study.cohort.chunks}
    empty = [fold for fold in study.cohort.folds if fold not in tested]
    if empty:
        severity: Severity = "ERROR" if len(empty) == len(study.cohort.folds) else "WARNING"
        message = f"no pair has both of its patients in fold {some(empty)}: nothing is tested there"
        fix = "use fewer folds, or more pairs (`pairing.pairs_per_subject`)"
        yield Fault(str(study.cohort.manifest), message, fix, None, "patient", severity)


def _folder_faults(study: Study) -> Iterator[Fault]:
    for name, model in study.config.models.items():
        start = study.path.parent / model.warm_start if model.warm_start else None
        if start is not None and not any(start.glob("fold-*/model.json")):
            message, fix = (
                f"no finished model in {model.warm_start}",
                "name a folder that holds fold-*/model.json",
            )
            yield Fault(str(study.path), message, fix, column=f"models.{name}.warm_start")
