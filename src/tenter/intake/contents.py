"""What a study without errors consists of, in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tenter.intake import agreement, forecast, training_checks
from tenter.intake.integrity import Findings
from tenter.intake.manifest_checks import some
from tenter.records import Plan, Set
from tenter.study import Study

SETS: dict[Set, str] = {
    "cv": "cross-validated",
    "train": "always for training",
    "test": "for testing alone",
}


def cohort(study: Study, findings: Findings) -> Iterator[str]:
    """Pairs, files and labels."""
    pairs = study.cohort.pairs
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
    counts = (
        training_checks.span([len(pairs)], "image pair"),
        training_checks.span([len(patients)], "patient"),
    )
    yield f"{' of '.join(counts)}: {_sets(study)}"
    yield f"{training_checks.span([len(findings)], 'file')}, {forecast.size(volume)}, read {depth}"
    if all(finding.sha256 for use, finding in findings.items() if use[1] == "labels"):
        yield f"pairs with a label on both sides: {some(names, 8) or 'none'}"
    else:
        labelled = training_checks.span([sum(pair.labelled for pair in pairs)], "pair")
        yield f"labels: not read; {labelled} name some on both sides"


def folds(study: Study) -> Iterator[str]:
    """The folds; for pairs of two patients, also which pairs are tested."""
    sizes = list(Counter(study.cohort.assignment.values()).values())
    if not sizes:
        return
    each = " each" if min(sizes) == max(sizes) else ""
    yield f"{len(sizes)} folds of {training_checks.span(sizes, 'patient')}{each}"
    if all(len(pair.patients) == 1 for pair in study.cohort.pairs):
        return
    tested = training_checks.span([len(study.cohort.registered)], "pair")
    yield f"registered and measured: {tested}, by models that saw neither patient"
    across = sum(
        pair.set == "cv" and pair.id not in study.cohort.registered for pair in study.cohort.pairs
    )
    if across:
        use = (
            "models of the other folds learn from them"
            if len(sizes) > 2
            else "no model learns from them"
        )
        untested = training_checks.span([across], "pair")
        yield f"never tested: {untested} whose patients are in two folds; {use}"


def grid(study: Study, plan: Plan) -> Iterator[str]:
    """The common grid."""
    shape, spacing = (
        " x ".join(f"{value:g}" for value in values) for values in (plan.shape, plan.spacing_mm)
    )
    title = "common grid" if study.applied is None else "common grid, the model's"
    yield f"{title}: {shape} voxels of {spacing} mm"


def _sets(study: Study) -> str:
    if study.applied is not None:
        return f"all registered by the finished model {study.applied}"
    sets = Counter(pair.set for pair in study.cohort.pairs)
    if len(sets) == 1:
        return f"all {SETS[next(iter(sets))]}"
    return ", ".join(
        f"{sets[name]} {description}" for name, description in SETS.items() if sets[name]
    )
