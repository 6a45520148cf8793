"""What the labels of a cohort are good for: names that no file holds, pairs and folds that none teaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tenter.config import Config
from tenter.intake import agreement
from tenter.intake.complaints import some
from tenter.intake.integrity import Findings
from tenter.records import Fault, Pair
from tenter.study import Study


def unheld(path: Path, settings: Config, findings: Findings) -> Iterator[Fault]:
    """Labels that the configuration, whose file is `path`, names and no file holds."""
    seen = {key for use, finding in findings.items() if use[1] == "labels" for key in finding.keys}
    for label in settings.labels.names:
        if seen and label.key not in seen:
            near = sorted(seen, key=lambda key: (abs(key - label.key), key))[:3]
            message = f"label {label.name!r}: no file holds key {label.key}"
            fix = f"correct the key; the nearest in the files are {some(sorted(near))}"
            yield Fault(str(path), message, fix, None, "labels.names", "WARNING")


def unlabelled(study: Study, findings: Findings) -> Iterator[Fault]:
    """Folds that have no labels to learn from where a model needs some, and pairs without common labels."""
    read = all(item.sound and item.sha256 for use, item in findings.items() if use[1] == "labels")
    labelled = {p.id for p in study.pairs if (agreement.common_keys(p, findings) if read else p.labelled)}
    needy = [name for name, model in study.config.models.items() if not model.losses.images]
    if needy:
        yield from _unlearnable(study, labelled, needy)
    use = f"neither learnt from by {some(needy)} nor measured" if needy else "not measured"
    bare: list[Pair] = []
    unlike: list[Pair] = []
    for pair in study.pairs:
        if pair.id not in labelled:
            (unlike if any(agreement.one_sided_keys(pair, findings).values()) else bare).append(pair)
    if bare:
        message = f"{len(bare)} pairs have no common label: registered, but {use}"
        lacking = [subject.row for subject in study.cohort.subjects if subject.labels is None]
        rows = lacking or list(dict.fromkeys(pair.row for pair in bare))
        fix = f"add labels if there are any (rows {some(rows)})"
        yield Fault(str(study.manifest), message, fix, None, _column(study), "WARNING")
    if unlike:
        message = (
            f"{len(unlike)} pairs have labels on both sides, none of them in common: registered, but {use}"
        )
        fix = f"give a structure one key in all files (pairs {some([pair.id for pair in unlike], 3)})"
        yield Fault(str(study.manifest), message, fix, None, _column(study), "WARNING")


def _unlearnable(study: Study, labelled: set[str], needy: list[str]) -> Iterator[Fault]:
    for fold in study.folds:
        learnt = [pair for chunk in study.training_chunks(fold) for pair in study.chunks[chunk]]
        if not any(pair.id in labelled for pair in learnt):
            message = f"fold {fold} has {len(learnt)} pairs to train on, none with labels on both sides"
            fix = f"add labels, or a term of losses.images to {some(needy)}, or apply a finished `model`"
            yield Fault(str(study.manifest), message, fix, column=_column(study))


def _column(study: Study) -> str:
    return "labels" if study.cohort.subjects else "moving_labels"
