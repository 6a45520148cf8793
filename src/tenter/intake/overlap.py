"""How well labels overlap before any registration, by each alignment rule that a study could choose."""

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
"""Pairs at most that are compared, spread evenly over the cohort."""

MARGIN = 0.05
"""Median difference of Dice from which on one alignment is called better."""

APART = 0.05
"""Where no alignment overlaps by more than this Dice, distances of centroids decide."""

NEARER = 0.5
"""Share of the chosen alignment's distance that another may have at most to be called better."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """What an alignment rule comes to, over pairs with common labels.

    Attributes:
        rule: the alignment.
        dice: of each pair, all common labels together.
        distance_mm: median distance of each pair's label centroids.
    """

    rule: AlignmentRule
    dice: tuple[float, ...]
    distance_mm: tuple[float, ...]


def overlaps(pairs: Sequence[Pair], findings: Findings, chosen: AlignmentRule) -> tuple[Overlap, ...]:
    """The chosen alignment's overlap, then that of `header` and `centre` where they are not chosen.

    Args:
        pairs: the cohort.
        findings: of every file; labels that were not read are left out.
        chosen: the study's rule.

    Returns:
        Nothing where no pair has a label in common.
    """
    labelled = [pair for pair in pairs if _occupancies(pair, findings) is not None]
    stride = -(-len(labelled) // PAIRS) or 1
    rules: list[AlignmentRule] = [chosen, *(rule for rule in _OTHERS if rule != chosen)]
    known = [_of_pair(pair, findings, rules) for pair in labelled[::stride]]
    kept = [item for item in known if item is not None]
    if not kept:
        return ()
    columns = zip(*kept, strict=True)
    return tuple(
        Overlap(rule, tuple(dice for dice, _ in column), tuple(distance for _, distance in column))
        for rule, column in zip(rules, columns, strict=True)
    )


_OTHERS: tuple[AlignmentRule, ...] = ("header", "centre")


def worse(found: Sequence[Overlap], config: Path, model: Path | None = None) -> Iterator[Fault]:
    """A warning where another alignment lays labels better on one another than the chosen one.

    Args:
        found: as `overlaps` gives it.
        config: file of the configuration.
        model: the finished model that decides on the alignment, or None.
    """
    if len(found) < 2:
        return
    chosen, *others = found
    if max(statistics.median(item.dice) for item in found) < APART:
        best = min(others, key=lambda item: statistics.median(item.distance_mm))
        figures = [statistics.median(item.distance_mm) for item in (chosen, best)]
        if figures[1] > NEARER * figures[0]:
            return
        said = f"label centroids are {figures[0]:.3g} mm apart by `{chosen.rule}`, {figures[1]:.3g} mm by"
    else:
        best = max(others, key=lambda item: statistics.median(item.dice))
        gained = statistics.median(b - a for a, b in zip(chosen.dice, best.dice, strict=True))
        if gained < MARGIN:
            return
        figures = [statistics.median(item.dice) for item in (chosen, best)]
        said = f"labels overlap by a Dice of {figures[0]:.2f} by `{chosen.rule}`, {figures[1]:.2f} by"
    message = f"{said} `{best.rule}` (medians of {len(chosen.dice)} pairs, before registration)"
    if model is None:
        fix, column = f"set `plan.alignment: {best.rule}`", "plan.alignment"
    else:
        fix = f"check the headers of the images, or apply a model trained with `{best.rule}`"
        column = "model"
    yield Fault(str(config), message, fix, None, column, "WARNING")


def line(found: Sequence[Overlap]) -> Iterator[str]:
    """One line of a summary: the overlap by the chosen alignment and by the others."""
    if found:
        figures = [f"{statistics.median(item.dice):.2f} by `{item.rule}`" for item in found]
        figures[0] += " (chosen)"
        yield f"label overlap before registration (median Dice): {', '.join(figures)}"


def _of_pair(
    pair: Pair, findings: Findings, rules: Sequence[AlignmentRule]
) -> list[tuple[float, float]] | None:
    """Dice and distance by each rule; None where there is no common label or a rule cannot be used."""
    sides = _occupancies(pair, findings)
    found = []
    for rule in rules:
        placed = _placed(pair, findings, rule)
        if placed is None or sides is None:
            return None
        dice = occupancy.dice(*sides, placed)
        distance = occupancy.distance_mm(*sides, placed)
        if dice is None or distance is None:
            return None
        found.append((dice, distance))
    return found


def _occupancies(pair: Pair, findings: Findings) -> tuple[occupancy.Occupancy, occupancy.Occupancy] | None:
    if pair.moving_labels is None or pair.fixed_labels is None:
        return None
    moving, fixed = (findings[path, "labels"].occupancy for path in (pair.moving_labels, pair.fixed_labels))
    return None if moving is None or fixed is None else (moving, fixed)


def _placed(pair: Pair, findings: Findings, rule: AlignmentRule) -> Matrix | None:
    """The alignment of a pair by a rule; None where its files do not say it."""
    if rule == "header":
        return np.eye(4)
    own = uses(pair)
    if rule == "file":
        given = own.get("initial_transform")
        return None if given is None or not findings[given].sound else findings[given].matrix
    moving, fixed = (findings[own[f"{side}_image"]] for side in ("moving", "fixed"))
    if rule == "centre":
        return geometry.translation((moving.centre_mm - fixed.centre_mm)[0])
    if moving.mass_mm is None or fixed.mass_mm is None:
        return None
    return geometry.translation(np.subtract(moving.mass_mm, fixed.mass_mm))
