"""Find every fault of manifest, files and configuration in one pass, before anything runs."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from tenter import addresses, chunks, files, provenance
from tenter import config as configuration
from tenter.config import Config
from tenter.data import agreement, forecast, labelling, planned
from tenter.data.complaints import Table, some
from tenter.data.examination import Examiner
from tenter.data.forecast import Forecast
from tenter.data.integrity import Findings
from tenter.errors import InputError
from tenter.records import Fault, Plan, Severity
from tenter.study import Study
from tenter.tracking import examine, place_of

FORMAT = 1
SHOWN = 3
"""Warnings of one kind that are printed; the file holds all."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a sound study is told: warnings, what it holds, and what it will take."""

    warnings: tuple[Fault, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Warnings, the first few of each kind, then the summary."""
        kinds: dict[tuple[str | None, str], list[Fault]] = defaultdict(list)
        for fault in self.warnings:
            kinds[fault.column, fault.fix].append(fault)
        told = []
        for alike in kinds.values():
            told += [str(fault) for fault in alike[:SHOWN]]
            told += [f"WARNING ... and {len(alike) - SHOWN} more like it"] if len(alike) > SHOWN else []
        return "\n".join([*told, *self.lines])


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
        content: JSON of top-level keys that take the place of the configuration's.
        output: Where to write what was found, JSON; nothing is written for a faulty study.
        plan: The study's plan where there is one; told is how far the cohort has drifted from it.
        cache: File that remembers sound files, so that unchanged ones are not read again.
        quick: Read the headers of images and labels only.
        threads: Files read at a time; default: one for each core, at most 4.
        tracking: Ask the tracking server whether runs can be mirrored to it.

    Returns:
        Warnings and a summary.

    Raises:
        InputError: with every fault found.
    """
    settings, faults = _settings(config, content)
    if settings is None:
        raise InputError(faults)
    table = Table.read(config, settings)
    faults += table.faults
    findings = Examiner(
        root=table.path.parent,
        labels=settings.labels,
        workers=threads or min(4, os.cpu_count() or 1),
        quick=quick,
        memory=cache,
        version=f"{FORMAT} {settings.labels.format} {provenance.fingerprint('check')}",
    ).findings(table.cohort.pairs)
    study = None if _errors(faults) else Study(settings, config)
    faults += table.complaints(settings, findings)
    faults += labelling.unheld(config, settings, findings)
    faults += _study_faults(study, findings) if study else []
    if study is None or _errors(faults):
        raise InputError(_sorted(faults))
    known, drift = planned.compared(study, plan)
    faults += [*drift, *planned.misfits(study, known)]
    if _errors(faults):
        raise InputError(_sorted(faults))
    needs = forecast.forecast(study, known, findings)
    faults += _disk(study, needs)
    faults += _tracking_faults(study) if tracking else []
    verdict = Verdict(warnings=tuple(_sorted(faults)), lines=_summary(study, known, needs, findings))
    if output is not None:
        files.write_json(output, _report(table, verdict, needs, findings))
    return verdict


def _errors(faults: Iterable[Fault]) -> bool:
    return any(fault.severity == "ERROR" for fault in faults)


def _sorted(faults: Iterable[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: (fault.severity, fault.file, fault.row or 0, fault.column or ""))


# ---- the configuration


def _tracking_faults(study: Study) -> Iterator[Fault]:
    """Warnings of what keeps runs from being mirrored; training does not need it."""
    if not study.models:
        return
    file, column = str(study.path), "tracking.uri"
    if addresses.has_login(study.tracking_uri):
        message, _, fix = addresses.EXPOSED.partition("; ")
        yield Fault(file, message, fix, column=column, severity="WARNING")
    addresses.conceal(study.tracking_uri, os.environ)
    place = place_of(study)
    complaint = examine(place)
    if complaint is not None:
        message = f"{place.uri}: {complaint.message}; runs are not mirrored until then"
        yield Fault(file, message, complaint.fix, column=column, severity="WARNING")


def _settings(path: Path, content: str) -> tuple[Config | None, list[Fault]]:
    """The configuration; of a faulty one what is sound, so that the cohort can be checked with it."""
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError):
        stated = None
    try:
        if not isinstance(stated, dict):
            return configuration.read(path), []
        stated |= _overrides(content, path)
        return configuration.parse(stated, path), []
    except InputError as error:
        faults = list(error.faults)
    if not isinstance(stated, dict):
        return None, faults
    wrong = {(fault.column or "").split(".")[0] for fault in faults}
    sound = {key: value for key, value in stated.items() if key not in wrong}
    # The cohort's faults do not depend on what registers it.
    plain = {"study": "unnamed", **sound, "models": {}, "model": ".", "summary": {}}
    try:
        return configuration.parse(plain, path), faults
    except InputError:
        return None, faults


def _overrides(content: str, path: Path) -> dict[str, object]:
    try:
        stated = json.loads(content or "{}")
    except ValueError:
        stated = None
    if isinstance(stated, dict):
        return stated
    fault = Fault(str(path), "what shall take the place of its keys is no JSON object", "mend `--content`")
    raise InputError([fault])


# ---- the study as a whole


def _study_faults(study: Study, findings: Findings) -> Iterator[Fault]:
    """Folds that cannot be dealt or learnt from, and folders that the configuration names in vain."""
    yield from _folder_faults(study)
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
    """Folds without a pair whose patients are all in them."""
    tested = {chunks.tested_by(chunk) for chunk in study.chunks}
    empty = [fold for fold in study.folds if fold not in tested]
    if empty:
        severity: Severity = "ERROR" if len(empty) == len(study.folds) else "WARNING"
        message = f"no pair has both of its patients in fold {some(empty)}: nothing is tested there"
        fix = "use fewer folds, or more pairs (`pairing.pairs_per_subject`)"
        yield Fault(str(study.manifest), message, fix, None, "patient", severity)


def _folder_faults(study: Study) -> Iterator[Fault]:
    try:
        study.applied_members  # noqa: B018 - looks for them
    except InputError as error:
        yield from error.faults
    for name, model in study.config.models.items():
        start = study.path.parent / model.warm_start if model.warm_start else None
        if start is not None and not any(start.glob("fold-*/model.json")):
            message, fix = (
                f"no finished model in {model.warm_start}",
                "name a folder that holds fold-*/model.json",
            )
            yield Fault(str(study.path), message, fix, column=f"models.{name}.warm_start")
    if not os.access(forecast.existing(study.results), os.W_OK):
        message = f"{study.config.results} cannot be written to"
        yield Fault(str(study.path), message, "choose another folder", column="results")


# ---- what the study will take, and what is told


def _disk(study: Study, needs: Forecast) -> Iterator[Fault]:
    if needs.bytes > needs.free_bytes:
        message = f"the results may not fit: {needs.lines()[0]}"
        fix = "free some space, or export less (`export`)"
        yield Fault(str(study.path), message, fix, None, "results", "WARNING")


def _summary(study: Study, plan: Plan, needs: Forecast, findings: Findings) -> tuple[str, ...]:
    pairs = study.pairs
    sets = Counter(pair.set for pair in pairs)
    patients = {patient for pair in pairs for patient in pair.patients}
    volume = sum(finding.bytes for finding in findings.values())
    labels = Counter(key for pair in pairs for key in agreement.common_keys(pair, findings))
    names = [f"{study.config.labels.label(key).name} in {count}" for key, count in sorted(labels.items())]
    shape, spacing = (" x ".join(f"{value:g}" for value in item) for item in (plan.shape, plan.spacing_mm))
    sizes = Counter(str(fold) for fold in study.assignment.values())
    dealt = ", ".join(f"{count} {name}" for name, count in sorted(sets.items()))
    depth = "to the last byte" if all(finding.sha256 for finding in findings.values()) else "by their headers"
    lines = [
        f"{len(pairs)} pairs of {len(patients)} patients ({dealt})",
        f"{len(findings)} files, {forecast.size(volume)}, read {depth}",
        f"labels on both sides: {some(names, 8) or 'none'}",
    ]
    if sizes:
        lines.append(f"{len(sizes)} folds of {min(sizes.values())} to {max(sizes.values())} patients")
        lines += _split(study)
    lines.append(f"common grid: {shape} voxels of {spacing} mm")
    return (*lines, *needs.lines())


def _split(study: Study) -> Iterator[str]:
    """Who tests and who learns from pairs of two patients; nothing to say of others."""
    if all(len(pair.patients) == 1 for pair in study.pairs):
        return
    across = sum(pair.set == "cv" and pair.id not in study.registered for pair in study.pairs)
    yield f"{len(study.registered)} pairs are tested, by models that saw neither patient"
    if across:
        yield f"{across} pairs of two folds are tested by none, and learnt from by the models of other folds"
    learnt = [sum(len(study.chunks[name]) for name in study.training_chunks(fold)) for fold in study.folds]
    yield f"each fold's model may learn from {min(learnt)} to {max(learnt)} pairs"


def _report(table: Table, verdict: Verdict, needs: Forecast, findings: Findings) -> dict[str, object]:
    def told(fault: Fault) -> dict[str, object]:
        return asdict(fault) | {"file": Path(fault.file).name}

    return {
        "format": FORMAT,
        "faults": [told(fault) for fault in verdict.warnings],
        "summary": list(verdict.lines),
        "pairs": len(table.cohort.pairs),
        "patients": len({patient for pair in table.cohort.pairs for patient in pair.patients}),
        "forecast": asdict(needs) | {"bytes": needs.bytes},
        "files": {
            table.named(path): {
                "bytes": item.bytes,
                "mtime": int(path.stat().st_mtime),
                "sha256": item.sha256,
            }
            for (path, _), item in findings.items()
        },
    }
