"""The order of a check: configuration, table, files, study, plan, and expected cost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tenter import provenance
from tenter.config import Config
from tenter.errors import InputError
from tenter.intake import (
    baseline_files,
    configuration,
    contents,
    custom_code,
    folders,
    forecast,
    labelling,
    overlap,
    plan_checks,
    study_faults,
    training_checks,
)
from tenter.intake.file_scan import Examiner
from tenter.intake.forecast import Forecast
from tenter.intake.integrity import Findings
from tenter.intake.manifest_checks import Table
from tenter.intake.verdict import FORMAT, has_errors, ordered
from tenter.records import Fault
from tenter.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the files of a study are read.

    Attributes:
        cache: file that remembers valid files, so that unchanged ones are not read again, or None.
        quick: read only the headers of images and labels.
        threads: number of files read at a time; None for one per core, at most 4.
    """

    cache: Path | None = None
    quick: bool = False
    threads: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A study without errors.

    Attributes:
        study: the study.
        table: its manifest.
        findings: what its files hold.
        needs: the expected cost.
        warnings: in no order.
        lines: its contents and cost, for a person.
    """

    study: Study
    table: Table
    findings: Findings
    needs: Forecast
    warnings: tuple[Fault, ...]
    lines: tuple[str, ...]


def inspect(config: Path, content: str, plan: Path | None, reading: Reading) -> Inspection:
    """Inspect a study: its configuration, its manifest and every file.

    Args:
        config: configuration file.
        content: JSON object of top-level keys that replace those of the configuration.
        plan: plan of the study, if it may exist already.
        reading: how files are read.

    Raises:
        InputError: the study has errors; all of them are listed.
    """
    settings, faults = configuration.read(config, content)
    if settings is None:
        raise InputError(faults)
    if settings.model != configuration.NO_MODEL:
        settings, model_faults = plan_checks.settled(settings, config, quick=reading.quick)
        faults += model_faults
    faults += custom_code.unusable(config, settings)
    table = Table.read(config, settings)
    obstacles = tuple(folders.faults(config, settings))
    faults += [*table.faults, *obstacles]
    writable = not has_errors(obstacles)
    examiner = _examiner(table, settings, reading, writable=writable)
    findings = examiner.findings(table.cohort.pairs, baseline_files.uses(table.cohort))
    study = None if has_errors(faults) else Study(settings, config, table.cohort)
    faults += table.complaints(settings, findings)
    faults += labelling.unheld(config, settings, findings)
    faults += study_faults.faults(study, findings) if study else []
    if study is None or has_errors(faults):
        raise InputError(ordered(faults))
    return _inspected(study, table, findings, plan, faults)


def _examiner(table: Table, settings: Config, reading: Reading, *, writable: bool) -> Examiner:
    return Examiner(
        root=table.path.parent,
        labels=settings.labels,
        workers=reading.threads or min(4, os.cpu_count() or 1),
        quick=reading.quick,
        memory=reading.cache if writable else None,
        version=f"{FORMAT} {settings.labels.format} {provenance.fingerprint('check')}",
    )


def _inspected(
    study: Study, table: Table, findings: Findings, plan: Path | None, faults: list[Fault]
) -> Inspection:
    """Compare a study whose files are sound with its plan, and forecast its cost."""
    cohort_plan, drift = plan_checks.compared(study, plan)
    faults = [*faults, *drift, *plan_checks.misfits(study, cohort_plan)]
    if has_errors(faults):
        raise InputError(ordered(faults))
    overlaps = overlap.overlaps(study.cohort.pairs, findings, cohort_plan.alignment)
    faults += overlap.worse(overlaps, study.path, study.applied)
    needs = forecast.forecast(study, cohort_plan, findings)
    faults += study_faults.too_little_space(study, needs)
    faults += study_faults.unused_keys(study)
    splits = training_checks.splits(study, findings)
    faults += training_checks.advice(study, findings, splits, needs)
    lines = (
        *contents.cohort(study, findings),
        *overlap.line(overlaps),
        *contents.folds(study),
        *training_checks.lines(splits),
        *contents.grid(study, cohort_plan),
        *needs.lines(),
    )
    return Inspection(
        study=study,
        table=table,
        findings=findings,
        needs=needs,
        warnings=tuple(faults),
        lines=lines,
    )
