"""Figures as text: numbers, intervals, counts and text alternatives of plots."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tenter.reporting.results import quantile, vanished, worse

if TYPE_CHECKING:
    from tenter.metrics.definitions import Metric
    from tenter.reporting.results import Group

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def number(
    value: float | None, definition: Metric, *, unit: bool = True, sign: bool = False
) -> str:
    """A figure with the metric's digits; `vanished` if it is infinite, a dash if there is none."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "vanished"
    text = f"{value:+.{definition.decimals}f}" if sign else f"{value:.{definition.decimals}f}"
    text = text.lstrip("+-") if float(text) == 0 else text
    suffix = f"\N{NO-BREAK SPACE}{definition.symbol}" if unit and definition.symbol else ""
    return text.replace("-", MINUS) + suffix


def interval(low: float | None, high: float | None, definition: Metric) -> str:
    """Two figures as `0.85 to 0.88`; a dash if there are none."""
    if low is None or high is None:
        return NONE
    return f"{number(low, definition, unit=False)} to {number(high, definition, unit=False)}"


def span(low: float | None, high: float | None, definition: Metric) -> str:
    """Two figures that are never negative, in short form: `0.85\N{EN DASH}0.88`."""
    if low is None or high is None:
        return NONE
    return f"{number(low, definition, unit=False)}\N{EN DASH}{number(high, definition, unit=False)}"


def share(part: int, total: int) -> str:
    """`3 of 84 (4 %)`."""
    if not total:
        return "0 of 0"
    percent = 100 * part / total
    digits = 1 if 0 < percent < 1 else 0
    return f"{part} of {total} ({percent:.{digits}f}\N{NO-BREAK SPACE}%)"


def count(quantity: int, noun: str) -> str:
    """`1 pair`, `2 pairs`, `2 pairs of patients`."""
    first, *complements = noun.split(" of ")
    plural = " of ".join([f"{first}s", *complements])
    return f"{quantity:,} {noun if quantity == 1 else plural}".replace(
        ",", "\N{NARROW NO-BREAK SPACE}"
    )


def listed(texts: list[str] | tuple[str, ...]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def alternative(group: Group) -> str:
    """The content of a group's plot in words, for people who cannot see it."""
    definition = group.definition
    before, after = (
        number(quantile(values, 0.5), definition) for values in (group.before(), group.after())
    )
    paired = bool(group.before()) and group.role != "field"
    medians = f"median {before} before and {after} after" if paired else f"median {after}"
    tail = [f"{group.count(worse)} worse than before"] if paired else []
    tail += [f"{group.count(vanished)} vanished"] if group.count(vanished) else []
    end = f" ({', '.join(tail)})" if tail else ""
    figures = count(len(group.rows), "figure")
    return f"{definition.title}, model {group.model}: {medians} over {figures}{end}."


def p_value(value: float | None) -> str:
    """A p value with three digits, or `< 0.001`."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
