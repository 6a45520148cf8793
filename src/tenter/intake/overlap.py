"""Overlap of labels before registration, for each alignment rule that a study could choose."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenter.intake import occupancy
from tenter.intake.integrity import Findings, uses
from tenter.records import AlignmentRule, Fault, Pair
from tenter.shapes import Matrix
from tenter.spatial import geometry

PAIRS = 100
"""Largest number of pairs that are compared, spread evenly over the cohort."""

MARGIN = 0.05
"""Median difference of Dice from which an alignment counts as better."""

APART = 0.05
"""If no alignment reaches this median Dice, distances of centroids decide."""

NEARER = 0.5
"""An alignment counts as better up to this fraction of the chosen alignment's distance."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Overlap by an alignment rule, over pairs with common labels.

    Attributes:
        rule: the alignment.
        dice: Dice of each pair, all common labels together.
        distance_mm: median distance of each pair's label centroids.
    """

    rule: AlignmentRule
    dice: tuple[float, ...]
    distance_mm: tuple[float, ...]


def overlaps(
    pairs: Sequence[Pair], findings: Findings, chosen: AlignmentRule
) -> tuple[Overlap, ...]:
    """The chosen alignment's overlap, then that of `header` and `centre` unless chosen.

    Args:
        pairs: the cohort.
        findings: of every file; labels that were not read are left out.
        chosen: the study's rule.

    Returns:
        An empty tuple if no pair has a common label.
    """
    labelled = [pair for pair in pairs if _occupancies(pair, findings) is not None]
    stride = -(-len(labelled) // PAIRS) or 1
    rules: list[AlignmentRule] = [chosen, *(rule for rule in _OTHERS if rule != chosen)]
    measured = [_of_pair(pair, findings, rules) for pair in labelled[::stride]]
    figures = [entry for entry in measured if entry is not None]
    if not figures:
        return ()
    columns = zip(*figures, strict=True)
    return tuple(
        Overlap(rule, tuple(dice for dice, _ in column), tuple(distance for _, distance in column))
        for rule, column in zip(rules, columns, strict=True)
    )


_OTHERS: tuple[AlignmentRule, ...] = ("header", "centre")


def worse(by_rule: Sequence[Overlap], config: Path, model: Path | None = None) -> Iterator[Fault]:
    """A warning if labels overlap better by another alignment than by the chosen one.

    Args:
        by_rule: the result of `overlaps`.
        config: the configuration file.
        model: the finished model that prescribes the alignment, or None.
    """
    if len(by_rule) < 2:
        return
    chosen, *alternatives = by_rule
    if max(statistics.median(overlap.dice) for overlap in by_rule) < APART:
        best = min(alternatives, key=lambda overlap: statistics.median(overlap.distance_mm))
        figures = [statistics.median(overlap.distance_mm) for overlap in (chosen, best)]
        if figures[1] > NEARER * figures[0]:
            return
        comparison = (
            f"label centroids are {figures[0]:.3g} mm apart by `{chosen.rule}`, "
            f"{figures[1]:.3g} mm by"
        )
    else:
        best = max(alternatives, key=lambda overlap: statistics.median(overlap.dice))
        gained = statistics.median(b - a for a, b in zip(chosen.dice, best.dice, strict=True))
        if gained < MARGIN:
            return
        figures = [statistics.median(overlap.dice) for overlap in (chosen, best)]
        comparison = (
            f"labels overlap by a Dice of {figures[0]:.2f} by `{chosen.rule}`, {figures[1]:.2f} by"
        )
    message = (
        f"{comparison} `{best.rule}` (medians of {len(chosen.dice)} pairs, before registration)"
    )
    if model is None:
        fix, column = f"set `plan.alignment: {best.rule}`", "plan.alignment"
    else:
        fix = f"check the headers of the images, or apply a model trained with `{best.rule}`"
        column = "model"
    yield Fault(str(config), message, fix, None, column, "WARNING")


def line(by_rule: Sequence[Overlap]) -> Iterator[str]:
    """One line for the summary: the overlap by the chosen alignment and by the others."""
    if by_rule:
        figures = [
            f"{statistics.median(overlap.dice):.2f} by `{overlap.rule}`" for overlap in by_rule
        ]
        figures[0] += " (chosen)"
        yield f"label overlap before registration (median Dice): {', '.join(figures)}"


def _of_pair(
    pair: Pair, findings: Findings, rules: Sequence[AlignmentRule]
) -> list[tuple[float, float]] | None:
    """Dice and distance by each rule; None if there is no common label or a rule cannot be used."""
    sides = _occupancies(pair, findings)
    figures = []
    for rule in rules:
        placed = _placed(pair, findings, rule)
        if placed is None or sides is None:
            return None
        dice = occupancy.dice(*sides, placed)
        distance = occupancy.distance_mm(*sides, placed)
        if dice is None or distance is None:
            return None
        figures.append((dice, distance))
    return figures


def _occupancies(
    pair: Pair, findings: Findings
) -> tuple[occupancy.Occupancy, occupancy.Occupancy] | None:
    if pair.moving_labels is None or pair.fixed_labels is None:
        return None
    moving, fixed = (
        findings[path, "labels"].occupancy for path in (pair.moving_labels, pair.fixed_labels)
    )
    return None if moving is None or fixed is None else (moving, fixed)


def _placed(pair: Pair, findings: Findings, rule: AlignmentRule) -> Matrix | None:
    """The alignment of a pair by a rule; None if it cannot be derived from the pair's files."""
    if rule == "header":
        return np.eye(4)
    named = uses(pair)
    if rule == "file":
        transform = named.get("initial_transform")
        return (
            None
            if transform is None or not findings[transform].sound
            else findings[transform].matrix
        )
    moving, fixed = (findings[named[f"{side}_image"]] for side in ("moving", "fixed"))
    if rule == "centre":
        return geometry.translation((moving.centre_mm - fixed.centre_mm)[0])
    if moving.mass_mm is None or fixed.mass_mm is None:
        return None
    return geometry.translation(np.subtract(moving.mass_mm, fixed.mass_mm))
