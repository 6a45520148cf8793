"""Challenge metrics in a section of their own, and how programs differ from descriptions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tenter.reporting import words
from tenter.reporting.page import Block, Column, Section, Table
from tenter.statistics.challenge_scores import Aggregate
from tenter.statistics.lines import ALL

_TEXT = False


class Deviation(NamedTuple):
    """A figure that is computed differently from its description."""

    figure: str
    said: str
    done: str


class Family(NamedTuple):
    """A challenge: its title, and where its program differs from what it describes."""

    title: str
    deviations: tuple[Deviation, ...]


_LEARN2REG = (
    Deviation(
        "hd95",
        "95 % Hausdorff distance",
        "In voxels, as if each were a cube of 1 mm, whatever the image's voxel size.",
    ),
    Deviation(
        "30",
        "robustness, of the 30 % worst cases",
        "The quantile 0.3 for hd95 too, which is the edge of its best cases; 0.7 for tre and "
        "sd_log_jacobian.",
    ),
    Deviation(
        "sd_log_jacobian",
        "standard deviation of the logarithm of the Jacobian determinant",
        "The logarithm is of the determinant plus 3, which makes it several times smaller.",
    ),
    Deviation(
        "foldings", "number of folded voxels", "Counted after 3 was added and clipped: always 0."
    ),
)

_MUREGPRO = (
    Deviation(
        "tre, rtre, rts",
        "root mean square over landmarks of errors by the l1 norm",
        "An error is the mean of the three distances along the axes, in voxels: a third of the l1 "
        "norm, and on average over directions half the Euclidean distance. Centroids are truncated "
        "to whole voxels; that of an empty label is voxel (0, 0, 0). The gland counts as a "
        "landmark.",
    ),
    Deviation(
        "rts",
        "the 3 best of 5 landmarks",
        "The best 68 % of a case's labels, the gland among them: 4 of 6.",
    ),
    Deviation(
        "tre, rtre, rts, score",
        "divided by the largest error of a landmark before registration",
        "Divided by the same aggregate of unregistered pairs, whose array indices are compared "
        "regardless of where the images lie in space.",
    ),
    Deviation(
        "hd95",
        "distances between points of the organ's boundary",
        "Distances between all voxels of all labels: the boundary is searched in five dimensions, "
        "two of them one voxel wide, so that every voxel is on it. A warped label counts wherever "
        "it is above 0.",
    ),
    Deviation(
        "whole numbers",
        "nothing",
        "With TensorFlow before 2.16, as when the challenge was held, means of an error over axes "
        "and of squared errors over labels are truncated to whole numbers; later versions do not "
        "truncate them.",
    ),
)

FAMILIES = {
    "learn2reg": Family("Learn2Reg (evaluation 2.0)", _LEARN2REG),
    "muregpro": Family("\N{MICRO SIGN}-RegPro (public code)", _MUREGPRO),
}
"""Challenges in the order in which they are shown."""

_TEXT_OF_SECTION = (
    "Computed as the challenges' own programs do, for comparison with figures published there. "
    "These programs ignore where images lie in space and differ from what the challenges describe; "
    "their figures are used nowhere else on this page."
)


def section(lines: Sequence[Aggregate]) -> Section | None:
    """Tables of each challenge that was measured, over all folds; None if there is none."""
    blocks = []
    for name, family in FAMILIES.items():
        aggregates = [line for line in lines if line.family == name and line.fold == ALL]
        if aggregates:
            blocks.append(Block(family.title, tables=(_figures(aggregates), _deviations(family))))
    title = "Challenge metrics"
    return Section("challenges", title, tuple(blocks), _TEXT_OF_SECTION) if blocks else None


def _figures(lines: Sequence[Aggregate]) -> Table:
    """One row per figure; µ-RegPro's divisor and quotient only where there is a divisor."""
    divides = any(line.unregistered is not None for line in lines)
    columns = [
        Column("Metric", _TEXT),
        Column("model", _TEXT),
        Column("pairs of", _TEXT),
        Column("n"),
    ]
    columns += [Column("unit", _TEXT), Column("before"), Column("after")]
    columns += [Column("unregistered"), Column("after / unregistered")] if divides else []
    rows = []
    for line in lines:
        figures = [line.before, line.after]
        figures += [line.unregistered, _quotient(line)] if divides else []
        leading = (
            _title(line),
            line.model,
            line.set,
            str(line.cases),
            "" if line.unit == "1" else line.unit,
        )
        rows.append((*leading, *map(_number, figures)))
    note = "Over all pairs of the set. Before: with the alignment alone."
    return Table("Figures of the cohort", tuple(columns), tuple(rows), note)


def _title(line: Aggregate) -> str:
    if line.arithmetic:
        return f"{line.metric}, {line.arithmetic}"
    return line.metric if line.aggregate == "cohort" else f"{line.metric}, {line.aggregate}"


def _quotient(line: Aggregate) -> float | None:
    return line.after / line.unregistered if line.unregistered and line.after is not None else None


def _number(value: float | None) -> str:
    if value is None:
        return words.NONE
    return f"{value:.3f}".replace("-", words.MINUS) if math.isfinite(value) else "infinite"


def _deviations(family: Family) -> Table:
    columns = tuple(
        Column(title, _TEXT)
        for title in ("Figure", "what the challenge says", "what its program does")
    )
    return Table("Where the program differs from its description", columns, family.deviations)
