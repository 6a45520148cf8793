"""How figures are said: numbers, intervals, and the sentences of the summary."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tenter.reporting.results import quantile, vanished, worse

if TYPE_CHECKING:
    from tenter.reporting.definitions import Definition
    from tenter.reporting.results import Group

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def number(value: float | None, definition: Definition, *, unit: bool = True, sign: bool = False) -> str:
    """A figure with the metric's digits; `vanished` where it is infinite, a dash where it is none."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "vanished"
    text = f"{value:+.{definition.decimals}f}" if sign else f"{value:.{definition.decimals}f}"
    text = text.lstrip("+-") if float(text) == 0 else text
    suffix = f"\N{NO-BREAK SPACE}{definition.unit}" if unit and definition.unit else ""
    return text.replace("-", MINUS) + suffix


def interval(low: float | None, high: float | None, definition: Definition) -> str:
    """Two figures as `0.85 to 0.88`; a dash where there are none."""
    if low is None or high is None:
        return NONE
    return f"{number(low, definition, unit=False)} to {number(high, definition, unit=False)}"


def span(low: float | None, high: float | None, definition: Definition) -> str:
    """Two figures that are never negative, in little room: `0.85\N{EN DASH}0.88`."""
    if low is None or high is None:
        return NONE
    return f"{number(low, definition, unit=False)}\N{EN DASH}{number(high, definition, unit=False)}"


def share(part: int, whole: int) -> str:
    """`3 of 84 (4 %)`."""
    if not whole:
        return "0 of 0"
    percent = 100 * part / whole
    digits = 1 if 0 < percent < 1 else 0
    return f"{part} of {whole} ({percent:.{digits}f}\N{NO-BREAK SPACE}%)"


def count(quantity: int, noun: str) -> str:
    """`1 pair`, `2 pairs`, `2 pairs of patients`."""
    first, *rest = noun.split(" of ")
    plural = " of ".join([f"{first}s", *rest])
    return f"{quantity:,} {noun if quantity == 1 else plural}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def listed(items: list[str] | tuple[str, ...]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def alternative(group: Group) -> str:
    """What a plot of a group shows, for people who cannot see it."""
    definition = group.definition
    before, after = (number(quantile(values, 0.5), definition) for values in (group.before(), group.after()))
    paired = bool(group.before()) and group.role != "field"
    medians = f"median {before} before and {after} after" if paired else f"median {after}"
    tail = [f"{group.count(worse)} worse than before"] if paired else []
    tail += [f"{group.count(vanished)} vanished"] if group.count(vanished) else []
    end = f" ({', '.join(tail)})" if tail else ""
    return f"{definition.title}, model {group.model}: {medians} over {count(len(group.rows), 'figure')}{end}."


def p_value(value: float | None) -> str:
    """Three digits, or that it is below 0.001."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
