"""Find every fault of manifest, files and configuration in one pass, before anything runs."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tenter import addresses, chunks, files, provenance
from tenter import config as configuration
from tenter.config import Config, yaml_files
from tenter.errors import InputError
from tenter.intake import (
    agreement,
    baseline_files,
    folders,
    forecast,
    labelling,
    learning,
    overlap,
    planned,
)
from tenter.intake.complaints import Table, some
from tenter.intake.examination import Examiner
from tenter.intake.forecast import Forecast
from tenter.intake.integrity import Findings
from tenter.records import Fault, Plan, Set, Severity
from tenter.study import Study
from tenter.tracking import examine, place_of

FORMAT = 1
NO_MODEL = Path(os.devnull)
"""Placeholder for a finished model while the cohort of a faulty configuration is checked."""
SETS: dict[Set, str] = {
    "cv": "cross-validated",
    "train": "always for training",
    "test": "for testing alone",
}
SHOWN = 3
"""Number of warnings of one kind that are printed; the output file holds all."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result for a study without errors: warnings, contents, and expected cost."""

    warnings: tuple[Fault, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Return the first few warnings of each kind, then the summary."""
        kinds: dict[tuple[str | None, str], list[Fault]] = defaultdict(list)
        for fault in self.warnings:
            kinds[fault.column, fault.fix].append(fault)
        lines = []
        for group in kinds.values():
            lines += [str(fault) for fault in group[:SHOWN]]
            lines += (
                [f"WARNING ... and {len(group) - SHOWN} more like it"] if len(group) > SHOWN else []
            )
        return "\n".join([*lines, *self.lines])


def check(
    config: Path,
    /,
    *,
    content: str = "",
    output: Path | None = None,
    plan: Path | None = None,
    cache: Path | None = None,
    quick: bool = False,
    threads: int | None = None,
    tracking: bool = True,
) -> Verdict:
    """Check a study's configuration, manifest and files.

    Args:
        config: Configuration file (YAML).
        content: JSON object of top-level keys that replace those of the configuration.
        output: JSON file for the result; not written if the study has errors.
        plan: Plan of the study, if it exists; differences of the cohort from it are reported.
        cache: File that remembers valid files, so that unchanged ones are not read again.
        quick: Read only the headers of images and labels.
        threads: Number of files read at a time; default: one per core, at most 4.
        tracking: Ask the tracking server whether runs can be mirrored to it.

    Returns:
        Warnings and a summary.

    Raises:
        InputError: the study has errors; all of them are listed.
    """
    settings, faults = _settings(config, content)
    if settings is None:
        raise InputError(faults)
    if settings.model != NO_MODEL:
        settings, model_faults = planned.settled(settings, config, quick=quick)
        faults += model_faults
    table = Table.read(config, settings)
    obstacles = tuple(folders.faults(config, settings))
    faults += [*table.faults, *obstacles]
    findings = Examiner(
        root=table.path.parent,
        labels=settings.labels,
        workers=threads or min(4, os.cpu_count() or 1),
        quick=quick,
        memory=None if _errors(obstacles) else cache,
        version=f"{FORMAT} {settings.labels.format} {provenance.fingerprint('check')}",
    ).findings(table.cohort.pairs, baseline_files.uses(table.cohort))
    study = None if _errors(faults) else Study(settings, config, table.cohort)
    faults += table.complaints(settings, findings)
    faults += labelling.unheld(config, settings, findings)
    faults += _study_faults(study, findings) if study else []
    if study is None or _errors(faults):
        raise InputError(_sorted(faults))
    cohort_plan, drift = planned.compared(study, plan)
    faults += [*drift, *planned.misfits(study, cohort_plan)]
    if _errors(faults):
        raise InputError(_sorted(faults))
    overlaps = overlap.overlaps(study.pairs, findings, cohort_plan.alignment)
    faults += overlap.worse(overlaps, config, study.applied)
    needs = forecast.forecast(study, cohort_plan, findings)
    faults += [*_disk(study, needs), *_unused(study)]
    faults += _tracking_faults(study) if tracking else []
    splits = learning.splits(study, findings)
    faults += learning.advice(study, findings, splits, needs)
    lines = (
        *_cohort(study, findings),
        *overlap.line(overlaps),
        *_folds(study),
        *learning.lines(splits),
        *_grid(study, cohort_plan),
        *needs.lines(),
    )
    verdict = Verdict(warnings=tuple(_sorted(faults)), lines=lines)
    if output is not None:
        files.write_json(output, _report(table, verdict, needs, findings))
    return verdict


def _errors(faults: Iterable[Fault]) -> bool:
    return any(fault.severity == "ERROR" for fault in faults)


def _sorted(faults: Iterable[Fault]) -> list[Fault]:
    return sorted(
        faults, key=lambda fault: (fault.severity, fault.file, fault.row or 0, fault.column or "")
    )


# ---- the configuration


def _tracking_faults(study: Study) -> Iterator[Fault]:
    """Yield warnings about obstacles to mirroring runs; training works without the mirror."""
    if not study.models:
        return
    file, column = str(study.path), "tracking.uri"
    if addresses.has_login(study.tracking_uri):
        yield Fault(file, *addresses.EXPOSED, column=column, severity="WARNING")
    addresses.conceal(study.tracking_uri, os.environ)
    place = place_of(study)
    fault = examine(place)
    if fault is not None:
        message = f"{fault.file}: {fault.message}; runs are not mirrored until then"
        yield Fault(file, message, fault.fix, column=column, severity="WARNING")


def _settings(path: Path, content: str) -> tuple[Config | None, list[Fault]]:
    """Parse the configuration and return it with its faults.

    A faulty configuration is reduced to its valid sections, so that the cohort can be checked too.
    """
    document: object = None
    try:
        document = yaml_files.read(path)
        if isinstance(document, dict):
            document |= _overrides(content, path)
        return configuration.parse(document, path), []
    except InputError as error:
        faults = list(error.faults)
    if not isinstance(document, dict):
        return None, faults
    faulty_sections = {(fault.column or "").split(".")[0] for fault in faults}
    sound = {key: value for key, value in document.items() if key not in faulty_sections}
    # The cohort's faults do not depend on the models that register it.
    substitute = {"study": "unnamed", **sound, "models": {}, "summary": {}}
    substitute["model"] = sound.get("model") or NO_MODEL
    try:
        return configuration.parse(substitute, path), faults
    except InputError:
        return None, faults


def _overrides(content: str, path: Path) -> dict[str, object]:
    try:
        stated = json.loads(content or "{}")
    except ValueError:
        stated = None
    if isinstance(stated, dict):
        return stated
    fault = Fault(
        str(path),
        "`--content` is not a JSON object",
        "give an object of top-level keys and their values",
    )
    raise InputError([fault])


# ---- the study as a whole


def _study_faults(study: Study, findings: Findings) -> Iterator[Fault]:
    """Yield faults of folds that cannot be assigned or trained, and of missing folders."""
    yield from _folder_faults(study)
    yield from folders.locks(study)
    if study.applied is not None:
        return
    try:
        folds = study.folds
    except InputError as error:
        yield from (replace(fault, file=str(study.manifest)) for fault in error.faults)
        return
    if len(folds) < 2:
        fix = "use at least two folds, or leave the column out"
        yield Fault(str(study.manifest), f"all pairs are in fold {some(folds)}", fix, column="fold")
    yield from _untested(study)
    yield from labelling.unlabelled(study, findings)


def _untested(study: Study) -> Iterator[Fault]:
    """Yield folds without any pair whose patients are all in that fold."""
    tested = {chunks.tested_by(chunk) for chunk in study.chunks}
    empty = [fold for fold in study.folds if fold not in tested]
    if empty:
        severity: Severity = "ERROR" if len(empty) == len(study.folds) else "WARNING"
        message = f"no pair has both of its patients in fold {some(empty)}: nothing is tested there"
        fix = "use fewer folds, or more pairs (`pairing.pairs_per_subject`)"
        yield Fault(str(study.manifest), message, fix, None, "patient", severity)


def _folder_faults(study: Study) -> Iterator[Fault]:
    for name, model in study.config.models.items():
        start = study.path.parent / model.warm_start if model.warm_start else None
        if start is not None and not any(start.glob("fold-*/model.json")):
            message, fix = (
                f"no finished model in {model.warm_start}",
                "name a folder that holds fold-*/model.json",
            )
            yield Fault(str(study.path), message, fix, column=f"models.{name}.warm_start")


# ---- the study's expected cost, and the summary


def _unused(study: Study) -> Iterator[Fault]:
    """Yield warnings about keys of older configurations that no longer have any effect."""
    for key in sorted({"bootstrap", "seed"} & study.config.summary.model_fields_set):
        message = "has no effect any more: intervals are computed without resampling"
        yield Fault(str(study.path), message, "remove the key", None, f"summary.{key}", "WARNING")


def _disk(study: Study, needs: Forecast) -> Iterator[Fault]:
    if needs.bytes > needs.free_bytes:
        message = f"the results may not fit: {needs.lines()[0]}"
        fix = "free some space, or export less (`export`)"
        yield Fault(str(study.path), message, fix, None, "results", "WARNING")


def _cohort(study: Study, findings: Findings) -> Iterator[str]:
    """Summarise pairs, files and labels."""
    pairs = study.pairs
    patients = {patient for pair in pairs for patient in pair.patients}
    volume = sum(finding.bytes for finding in findings.values())
    labels = Counter(key for pair in pairs for key in agreement.common_keys(pair, findings))
    names = [
        f"{study.config.labels.label(key).name} in {count}" for key, count in sorted(labels.items())
    ]
    depth = (
        "to the last byte"
        if all(finding.sha256 for finding in findings.values())
        else "by their headers"
    )
    counts = learning.span([len(pairs)], "image pair"), learning.span([len(patients)], "patient")
    yield f"{' of '.join(counts)}: {_sets(study)}"
    yield f"{learning.span([len(findings)], 'file')}, {forecast.size(volume)}, read {depth}"
    if all(finding.sha256 for use, finding in findings.items() if use[1] == "labels"):
        yield f"pairs with a label on both sides: {some(names, 8) or 'none'}"
    else:
        labelled = sum(pair.labelled for pair in pairs)
        yield f"labels: not read; {learning.span([labelled], 'pair')} name some on both sides"


def _sets(study: Study) -> str:
    if study.applied is not None:
        return f"all registered by the finished model {study.applied}"
    sets = Counter(pair.set for pair in study.pairs)
    if len(sets) == 1:
        return f"all {SETS[next(iter(sets))]}"
    return ", ".join(
        f"{sets[name]} {description}" for name, description in SETS.items() if sets[name]
    )


def _folds(study: Study) -> Iterator[str]:
    """Summarise the folds; for pairs of two patients, also which pairs are tested."""
    sizes = list(Counter(study.cohort.assignment.values()).values())
    if not sizes:
        return
    each = " each" if min(sizes) == max(sizes) else ""
    yield f"{len(sizes)} folds of {learning.span(sizes, 'patient')}{each}"
    if all(len(pair.patients) == 1 for pair in study.pairs):
        return
    tested = learning.span([len(study.cohort.registered)], "pair")
    yield f"registered and measured: {tested}, by models that saw neither patient"
    across = sum(
        pair.set == "cv" and pair.id not in study.cohort.registered for pair in study.pairs
    )
    if across:
        use = (
            "models of the other folds learn from them"
            if len(sizes) > 2
            else "no model learns from them"
        )
        untested = learning.span([across], "pair")
        yield f"never tested: {untested} whose patients are in two folds; {use}"


def _grid(study: Study, plan: Plan) -> Iterator[str]:
    shape, spacing = (
        " x ".join(f"{value:g}" for value in values) for values in (plan.shape, plan.spacing_mm)
    )
    title = "common grid" if study.applied is None else "common grid, the model's"
    yield f"{title}: {shape} voxels of {spacing} mm"


def _report(
    table: Table, verdict: Verdict, needs: Forecast, findings: Findings
) -> dict[str, object]:
    def described(fault: Fault) -> dict[str, object]:
        return asdict(fault) | {"file": Path(fault.file).name}

    return {
        "format": FORMAT,
        "faults": [described(fault) for fault in verdict.warnings],
        "summary": list(verdict.lines),
        "pairs": len(table.cohort.pairs),
        "patients": len({patient for pair in table.cohort.pairs for patient in pair.patients}),
        "forecast": asdict(needs) | {"bytes": needs.bytes},
        "files": {
            table.named(path): {
                "bytes": finding.bytes,
                "mtime": int(path.stat().st_mtime),
                "sha256": finding.sha256,
            }
            for (path, _), finding in findings.items()
        },
    }
