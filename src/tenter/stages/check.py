"""Find every fault of manifest, files and configuration in one pass, before anything runs."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from tenter import chunks, files, manifest, provenance
from tenter import config as configuration
from tenter.config import Config
from tenter.data import agreement, forecast, planning, plans
from tenter.data.complaints import Table, some
from tenter.data.examination import Examiner
from tenter.data.forecast import Forecast
from tenter.data.integrity import Findings
from tenter.errors import DataError, InputError
from tenter.records import Fault, Plan, Severity
from tenter.study import Study

FORMAT = 1
SHOWN = 3
"""Warnings of one kind that are printed; the file holds all."""

RENEW = "renew it by `snakemake ... --forcerun plan prepare_images` if the cohort has changed for good"


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
    faults += _label_faults(config, settings, findings)
    faults += _study_faults(study, findings) if study else []
    if study is None or _errors(faults):
        raise InputError(_sorted(faults))
    known, drift = _plan(study, plan)
    needs = forecast.forecast(study, known, findings)
    faults += drift
    faults += _disk(study, needs)
    verdict = Verdict(warnings=tuple(_sorted(faults)), lines=_summary(study, known, needs, findings))
    if output is not None:
        files.write_json(output, _report(table, verdict, needs, findings))
    return verdict


def _errors(faults: Iterable[Fault]) -> bool:
    return any(fault.severity == "ERROR" for fault in faults)


def _sorted(faults: Iterable[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: (fault.severity, fault.file, fault.row or 0, fault.column or ""))


# ---- the configuration


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


def _label_faults(path: Path, settings: Config, findings: Findings) -> Iterator[Fault]:
    seen = {key for use, finding in findings.items() if use[1] == "labels" for key in finding.keys}
    for label in settings.labels.names:
        if seen and label.key not in seen:
            near = sorted(seen, key=lambda key: (abs(key - label.key), key))[:3]
            message = f"label {label.name!r}: no file holds key {label.key}"
            fix = f"correct the key; the nearest in the files are {some(sorted(near))}"
            yield Fault(str(path), message, fix, None, "labels.names", "WARNING")


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
    yield from _unlabelled(study, findings)


def _untested(study: Study) -> Iterator[Fault]:
    """Folds without a pair whose patients are all in them."""
    tested = {chunks.tested_by(chunk) for chunk in study.chunks}
    empty = [fold for fold in study.folds if fold not in tested]
    if empty:
        severity: Severity = "ERROR" if len(empty) == len(study.folds) else "WARNING"
        message = f"no pair has both of its patients in fold {some(empty)}: nothing is tested there"
        fix = "use fewer folds, or more pairs (`pairing.pairs_per_subject`)"
        yield Fault(str(study.manifest), message, fix, None, "patient", severity)


def _unlabelled(study: Study, findings: Findings) -> Iterator[Fault]:
    column = "labels" if study.cohort.subjects else "moving_labels"
    read = all(item.sound and item.sha256 for use, item in findings.items() if use[1] == "labels")
    labelled = {p.id for p in study.pairs if (agreement.common_keys(p, findings) if read else p.labelled)}
    needy = [name for name, model in study.config.models.items() if not model.losses.images]
    for fold in study.folds if needy else ():
        learnt = [pair for chunk in study.training_chunks(fold) for pair in study.chunks[chunk]]
        if not any(pair.id in labelled for pair in learnt):
            message = f"fold {fold} has {len(learnt)} pairs to train on, none with labels on both sides"
            fix = f"add labels, or a term of losses.images to {some(needy)}, or apply a finished `model`"
            yield Fault(str(study.manifest), message, fix, column=column)
    without = [pair for pair in study.pairs if pair.id not in labelled]
    if without:
        use = f"neither learnt from by {some(needy)} nor measured" if needy else "not measured"
        message = f"{len(without)} pairs have no common label: registered, but {use}"
        lacking = [subject.row for subject in study.cohort.subjects if subject.labels is None]
        rows = lacking or list(dict.fromkeys(pair.row for pair in without))
        fix = f"add labels if there are any (rows {some(rows)})"
        yield Fault(str(study.manifest), message, fix, None, column, "WARNING")


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


# ---- the plan, and what the study will take


def _plan(study: Study, path: Path | None) -> tuple[Plan, list[Fault]]:
    """The plan there is, or would be, and how the cohort differs from it."""
    fresh = planning.derive(study.pairs, study.config.plan)
    if path is None or not path.exists():
        return fresh, list(_uncovered(study, fresh, "plan.shape", "choose a larger `plan.shape`, or none"))
    try:
        known = plans.read_plan(path)
    except DataError as error:
        return fresh, [Fault(str(path), "is no plan", str(error).rpartition("; ")[2], severity="WARNING")]
    drift = [Fault(str(path), message, RENEW, severity="WARNING") for message in _drift(known, fresh, study)]
    return known, [*drift, *_uncovered(study, known, None, RENEW, str(path))]


def _uncovered(
    study: Study, plan: Plan, column: str | None, fix: str, file: str | None = None
) -> Iterator[Fault]:
    images = {manifest.place(pair, "fixed_image")[0]: pair.fixed for pair in study.pairs}
    beyond = {row: planning.uncovered_mm(planning.extent(path).size_mm, plan) for row, path in images.items()}
    rows = [row for row, reach in beyond.items() if reach > 0]
    if rows:
        message = (
            f"{len(rows)} fixed images reach up to {max(beyond.values()):.1f} mm beyond the common grid "
            f"(rows {some(rows)}); there the displacement is zero"
        )
        yield Fault(file or str(study.path), message, fix, None, column, "WARNING")


def _drift(known: Plan, fresh: Plan, study: Study) -> Iterator[str]:
    for side in ("moving", "fixed"):
        was, now = getattr(known, f"{side}_channels"), getattr(fresh, f"{side}_channels")
        if was != now:
            yield f"is for {side} images of {was} channels; they have {now}"
    if study.config.plan.spacing_mm is not None:
        return
    changes = [abs(now / was - 1) for was, now in zip(known.spacing_mm, fresh.spacing_mm, strict=True)]
    if max(changes) > 0.1:
        was, now = (" x ".join(f"{size:g}" for size in item.spacing_mm) for item in (known, fresh))
        yield f"has voxels of {was} mm; the cohort's median is now {now} mm"


def _disk(study: Study, needs: Forecast) -> Iterator[Fault]:
    if needs.bytes > needs.free_bytes:
        message = f"the results may not fit: {needs.lines()[0]}"
        fix = "free some space, or export less (`export`)"
        yield Fault(str(study.path), message, fix, None, "results", "WARNING")


# ---- what is told


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
