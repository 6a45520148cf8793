"""Checks of labels: named keys that no file holds, pairs and folds without labels to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tenter.config import Config
from tenter.intake import agreement
from tenter.intake.integrity import Findings
from tenter.intake.manifest_checks import some
from tenter.records import Fault, Pair
from tenter.study import Study


def unheld(path: Path, settings: Config, findings: Findings) -> Iterator[Fault]:
    """Labels that the configuration in `path` names and no label file holds."""
    seen = {key for use, finding in findings.items() if use[1] == "labels" for key in finding.keys}
    for label in settings.labels.names:
        if seen and label.key not in seen:
            near = sorted(seen, key=lambda key: (abs(key - label.key), key))[:3]
            message = f"label {label.name!r}: no file holds key {label.key}"
            fix = f"correct the key; the nearest in the files are {some(sorted(near))}"
            yield Fault(str(path), message, fix, None, "labels.names", "WARNING")


def unlabelled(study: Study, findings: Findings) -> Iterator[Fault]:
    """Folds without labels although a model needs some, and pairs without common labels."""
    read = all(
        finding.sound and finding.sha256 for use, finding in findings.items() if use[1] == "labels"
    )
    labelled = {
        p.id
        for p in study.cohort.pairs
        if (agreement.common_keys(p, findings) if read else p.labelled)
    }
    supervised = [name for name, model in study.config.models.items() if not model.losses.images]
    if supervised:
        yield from _unlearnable(study, labelled, supervised)
    use = (
        f"neither learnt from by {some(supervised)} nor measured" if supervised else "not measured"
    )
    without_labels: list[Pair] = []
    without_common: list[Pair] = []
    for pair in study.cohort.pairs:
        if pair.id not in labelled:
            (
                without_common
                if any(agreement.one_sided_keys(pair, findings).values())
                else without_labels
            ).append(pair)
    if without_labels:
        message = f"{len(without_labels)} pairs have no common label: registered, but {use}"
        lacking = [subject.row for subject in study.cohort.subjects if subject.labels is None]
        rows = lacking or list(dict.fromkeys(pair.row for pair in without_labels))
        fix = f"add labels if there are any (rows {some(rows)})"
        yield Fault(str(study.cohort.manifest), message, fix, None, _column(study), "WARNING")
    if without_common:
        message = (
            f"{len(without_common)} pairs have labels on both sides, none of them in common: "
            f"registered, but {use}"
        )
        ids = some([pair.id for pair in without_common], 3)
        fix = f"give a structure one key in all files (pairs {ids})"
        yield Fault(str(study.cohort.manifest), message, fix, None, _column(study), "WARNING")


def _unlearnable(study: Study, labelled: set[str], supervised: list[str]) -> Iterator[Fault]:
    for fold in study.cohort.folds:
        pairs = [
            pair
            for chunk in study.cohort.training_chunks(fold)
            for pair in study.cohort.chunks[chunk]
        ]
        if not any(pair.id in labelled for pair in pairs):
            message = (
                f"fold {fold} has {len(pairs)} pairs to train on, none with labels on both sides"
            )
            fix = (
                f"add labels, or a term of losses.images to {some(supervised)}, "
                "or apply a finished `model`"
            )
            yield Fault(str(study.cohort.manifest), message, fix, column=_column(study))


def _column(study: Study) -> str:
    return "labels" if study.cohort.subjects else "moving_labels"
