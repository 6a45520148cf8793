"""The lines of `summary.tsv` and `comparison.tsv`, read by column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from tenter import files
from tenter.metrics.definitions import Metric, definition

Read = TypeVar("Read")

ALL = "all"
"""The fold that stands for all pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Median, quartiles and the 95 % interval of the median; None for what is missing."""

    median: float | None
    q1: float | None
    q3: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A metric's statistics for a model, set, fold, role and label (empty: all labels of the role).

    Attributes:
        worse_pairs: number of pairs that registration made worse; None where undefined.
        worse_low: lower bound of their share.
        worse_high: upper bound of their share.
    """

    model: str
    set: str
    fold: str
    role: str
    label: str
    metric: str
    unit: str
    n: int
    pairs: int
    patients: int
    vanished: int
    empty_before: int
    absent: int
    before: Figures
    after: Figures
    worse_pairs: int | None
    worse_low: float | None
    worse_high: float | None

    @property
    def definition(self) -> Metric:
        """The definition of the metric."""
        return definition(self.metric, self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A model against the reference, by one metric over all labels of a role.

    Attributes:
        test_unit: the unit of the test: a patient, or a pair of patients.
        units: how many of them.
        difference: model minus reference, median over units of paired differences.
        p: of the signed-rank test; None if there are too few units.
        p_holm: p corrected for the number of primary comparisons; None for other metrics.
        patients: how many the units belong to.
    """

    set: str
    role: str
    metric: str
    unit: str
    model: str
    reference: str
    test_unit: str
    units: int
    reference_median: float | None
    model_median: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    patients: int | None = None

    @property
    def definition(self) -> Metric:
        """The definition of the metric."""
        return definition(self.metric, self.unit)


_CONTRAST = tuple(field.name for field in fields(Contrast))
_LINE = (
    *(field.name for field in fields(Line) if field.name not in {"before", "after"}),
    *(f"{side}_{field.name}" for side in ("before", "after") for field in fields(Figures)),
)


def read_summary(path: Path) -> tuple[Line, ...]:
    """Read `summary.tsv`.

    Raises:
        DataError: a column is missing or a cell is not a number.
    """
    return tuple(_read(path, _LINE, _line))


def read_comparison(path: Path) -> tuple[Contrast, ...]:
    """Read `comparison.tsv`.

    Raises:
        DataError: a column is missing or a cell is not a number.
    """
    return tuple(_read(path, _CONTRAST, _contrast))


def pick(lines: Iterable[Line], **criteria: str) -> Line | None:
    """The first line with these values, by default over all folds and labels; None if none has."""
    criteria = {"fold": ALL, "label": "", **criteria}
    return next(
        (line for line in lines if all(getattr(line, k) == v for k, v in criteria.items())), None
    )


def _read(
    path: Path, columns: Sequence[str], make: Callable[[dict[str, str]], Read]
) -> Iterator[Read]:
    for number, cells in files.read_table(path, columns):
        try:
            yield make(cells)
        except ValueError as error:
            raise files.damaged(path, str(error), row=number) from error


def _line(cells: dict[str, str]) -> Line:
    return Line(
        model=cells["model"],
        set=cells["set"],
        fold=cells["fold"],
        role=cells["role"],
        label=cells["label"],
        metric=cells["metric"],
        unit=cells["unit"],
        n=int(cells["n"]),
        pairs=int(cells["pairs"]),
        patients=int(cells["patients"]),
        vanished=int(cells["vanished"]),
        empty_before=int(cells["empty_before"]),
        absent=int(cells["absent"]),
        before=_figures(cells, "before"),
        after=_figures(cells, "after"),
        worse_pairs=int(cells["worse_pairs"]) if cells["worse_pairs"] else None,
        worse_low=_number(cells["worse_low"]),
        worse_high=_number(cells["worse_high"]),
    )


def _figures(cells: dict[str, str], side: str) -> Figures:
    return Figures(
        **{field.name: _number(cells[f"{side}_{field.name}"]) for field in fields(Figures)}
    )


def _contrast(cells: dict[str, str]) -> Contrast:
    return Contrast(
        set=cells["set"],
        role=cells["role"],
        metric=cells["metric"],
        unit=cells["unit"],
        model=cells["model"],
        reference=cells["reference"],
        test_unit=cells["test_unit"],
        units=int(cells["units"]),
        reference_median=_number(cells["reference_median"]),
        model_median=_number(cells["model_median"]),
        difference=_number(cells["difference"]),
        low=_number(cells["low"]),
        high=_number(cells["high"]),
        p=_number(cells["p"]),
        p_holm=_number(cells["p_holm"]),
        patients=int(cells["patients"]),
    )


def _number(cell: str) -> float | None:
    value = float(cell) if cell else math.nan
    return None if math.isnan(value) else value
