"""Distributions with every point shown, and training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from tenter.measurement import metric_tables
from tenter.records import MetricRow
from tenter.reporting import drawing, words
from tenter.reporting.results import Group, quantile, vanished, worse

DENSE = 3000
"""More points than this are drawn as pixels, which keeps the page small."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The axis that plots of one metric share, with the rail on which vanished labels stand.

    Attributes:
        low: smallest value shown.
        high: largest value shown.
        rail: where vanished labels stand, beyond the worse end; None if none vanished.
    """

    low: float
    high: float
    rail: float | None

    def place(self, value: float) -> float:
        """Position of a figure on the axis: its value, or the rail if it is infinite."""
        return value if math.isfinite(value) or self.rail is None else self.rail


def scale(groups: Sequence[Group]) -> Scale:
    """The common axis of groups of one metric."""
    values = [value for group in groups for value in (*group.before(), *group.after())]
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    definition = groups[0].definition
    low, high = min(0.0, *finite), max(finite)
    high = definition.most or high * 1.04 or 1.0
    if all(math.isfinite(value) for value in values):
        return Scale(low, high, None)
    reach = 0.1 * (high - low)
    return Scale(low, high, low - reach if definition.better == "higher" else high + reach)


def before_after(group: Group, axis: Scale, name: str) -> Markup:
    """Every figure before and after, joined by a line, beside boxes of quartiles.

    Args:
        group: figures of one metric.
        axis: the shared axis.
        name: unique within the page.
    """
    with drawing.style():
        drawn = drawing.figure(5.2, 3.7, laid_out=False)
        axes = drawn.add_axes((0.115, 0.075, 0.875, 0.915))
        _prepare(axes, group, axis)
        kinds = {
            "better": group.only(lambda row: not worse(row) and not vanished(row)),
            "worse": group.only(lambda row: worse(row) and not vanished(row)),
            "vanished": group.only(vanished),
        }
        for kind, subset in kinds.items():
            _pairs(axes, subset.rows, axis, kind)
        _box(axes, group.before(), axis, -0.2, drawing.BEFORE)
        _box(axes, group.after(), axis, 1.2, drawing.BETTER)
        _medians(axes, group, axis)
    return drawing.inline(drawn, words.alternative(group), name)


_STYLES = {
    "better": (drawing.BETTER, "o", 9.0, 0.28),
    "worse": (drawing.WORSE, "^", 16.0, 0.8),
    "vanished": (drawing.VANISHED, "x", 20.0, 0.6),
}


def _prepare(axes: Axes, group: Group, axis: Scale) -> None:
    axes.set_xlim(-0.72, 1.72)
    ends = [axis.low, axis.high] if axis.rail is None else [axis.low, axis.high, axis.rail]
    margin = 0.04 * (max(ends) - min(ends))
    axes.set_ylim(min(ends) - margin, max(ends) + margin)
    axes.set_xticks([0, 1], ["before (alignment only)", "after"])
    axes.tick_params(axis="x", length=0, labelcolor=drawing.INK)
    axes.set_yticks(
        [tick for tick in axes.get_yticks() if axis.low - 1e-9 <= tick <= axis.high + 1e-9]
    )
    axes.set_ylabel(group.definition.axis)
    axes.grid(axis="y", color=drawing.RULE, linewidth=0.6)
    axes.spines["bottom"].set_visible(False)
    if axis.rail is not None:
        axes.axhline(axis.rail, color=drawing.VANISHED, linewidth=0.8, dashes=(4, 3), zorder=1)
        label = f"vanished: {group.count(vanished)}"
        side = "bottom" if axis.rail < axis.low else "top"
        offset = 4 if side == "bottom" else -4
        axes.annotate(
            label, (-0.7, axis.rail), (0, offset), textcoords="offset points", ha="left",
            va="bottom" if side == "bottom" else "top", color=drawing.VANISHED, fontsize=8.5,
        )  # fmt: skip


def _pairs(axes: Axes, rows: Sequence[MetricRow], axis: Scale, kind: str) -> None:
    if not rows:
        return
    colour, marker, size, strength = _STYLES[kind]
    sides = zip(*(metric_tables.counted(row) for row in rows), strict=True)
    before, after = (
        np.array([math.nan if v is None else axis.place(v) for v in side]) for side in sides
    )
    x = _spread(len(rows))
    lines = np.stack([np.stack([x, before], 1), np.stack([1 + x, after], 1)], 1)
    finite = np.isfinite(lines).all(axis=(1, 2))
    dense = len(rows) > DENSE
    axes.add_collection(
        LineCollection(
            list(lines[finite]), colors=colour, linewidths=0.7, alpha=strength, zorder=2,
            rasterized=dense, linestyles="dashed" if kind == "vanished" else "solid",
        )
    )  # fmt: skip
    first = "o" if kind == "vanished" else marker
    axes.scatter(
        x,
        before,
        s=9.0,
        marker=first,
        color=drawing.BEFORE,
        linewidths=0,
        zorder=3,
        rasterized=dense,
    )
    edge = 1.1 if marker == "x" else 0.0
    axes.scatter(
        1 + x,
        after,
        s=size,
        marker=marker,
        color=colour,
        linewidths=edge,
        zorder=4,
        rasterized=dense,
    )


def _spread(count: int) -> np.ndarray:
    """Small deterministic sideways offsets that keep points apart."""
    return (np.arange(count) * 0.618034 % 1.0 - 0.5) * 0.13


def _box(axes: Axes, values: Sequence[float], axis: Scale, x: float, colour: str) -> None:
    shares = {"whislo": 0.1, "q1": 0.25, "med": 0.5, "q3": 0.75, "whishi": 0.9}
    quantiles = {key: quantile(values, share) for key, share in shares.items()}
    stats = {key: axis.place(value) for key, value in quantiles.items() if value is not None}
    if len(stats) < len(shares):
        return
    axes.bxp(
        [{**stats, "fliers": []}], positions=[x], widths=0.13, showfliers=False, manage_ticks=False,
        patch_artist=True, zorder=5,
        boxprops={"facecolor": "white", "edgecolor": colour, "linewidth": 1.2},
        medianprops={"color": colour, "linewidth": 2.4},
        whiskerprops={"color": colour, "linewidth": 1.0},
        capprops={"color": colour, "linewidth": 1.0},
    )  # fmt: skip


def _medians(axes: Axes, group: Group, axis: Scale) -> None:
    sides = (
        (group.before(), -0.31, "right", drawing.INK),
        (group.after(), 1.31, "left", drawing.INK),
    )
    for values, x, align, colour in sides:
        median = quantile(values, 0.5)
        if median is not None:
            text = words.number(median, group.definition, unit=False)
            axes.text(
                x, axis.place(median), text, ha=align, va="center", color=colour, fontweight="bold"
            )


def strips(groups: Sequence[Group], name: str) -> Markup:
    """Every figure after registration, one column per model, beside boxes of quartiles.

    Args:
        groups: one group per model, all of one metric.
        name: unique within the page.
    """
    with drawing.style():
        drawn = drawing.figure(5.2, 3.2)
        axes = drawn.add_subplot()
        axis = scale(groups)
        for column, group in enumerate(groups):
            values = np.array([axis.place(value) for value in group.after()])
            x = column + 2.2 * _spread(len(values)) - 0.05
            axes.scatter(
                x, values, s=10, color=drawing.BETTER, alpha=0.45, linewidths=0, zorder=3,
                clip_on=False, rasterized=len(values) > DENSE,
            )  # fmt: skip
            _box(axes, group.after(), axis, column + 0.27, drawing.INK)
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_xticks(range(len(groups)), [group.model for group in groups])
        axes.set_ylim(axis.low, max(axis.high, axis.low + 1e-6))
        axes.set_ylabel(groups[0].definition.axis)
        axes.grid(axis="y", color=drawing.RULE, linewidth=0.6)
        axes.tick_params(axis="x", length=0, labelcolor=drawing.INK)
    return drawing.inline(drawn, " ".join(words.alternative(group) for group in groups), name)


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the steps of a training.

    Attributes:
        title: its name, with unit.
        folds: for each fold its steps and values.
        noisy: whether values are noisy, so that a running mean is drawn over them.
    """

    title: str
    folds: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    noisy: bool = False


def curves(panels: Sequence[Curve], alt: str, name: str) -> Markup:
    """Training curves: one panel per quantity, one line per fold.

    Args:
        panels: the quantities, left to right.
        alt: text alternative.
        name: unique within the page.
    """
    folds = list(dict.fromkeys(fold for panel in panels for fold in panel.folds))
    with drawing.style():
        drawn = drawing.figure(10.4, 3.0)
        for axes, panel in zip(np.atleast_1d(drawn.subplots(1, len(panels))), panels, strict=True):
            for fold, (steps, values) in panel.folds.items():
                _curve(axes, steps, values, _line(folds, fold), noisy=panel.noisy)
            axes.set_title(panel.title, loc="left")
            axes.set_xlabel("training step")
            axes.grid(color=drawing.RULE, linewidth=0.6)
        styles = [(fold, *_line(folds, fold)) for fold in folds]
        handles = [
            Line2D([], [], color=colour, linestyle=dash, label=f"fold {fold}")
            for fold, colour, dash in styles
        ]
        drawn.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8.5)
    return drawing.inline(drawn, alt, name)


Dashes = Literal["-", "--", "-.", ":"]

_DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")


def _line(folds: Sequence[str], fold: str) -> tuple[str, Dashes]:
    """Colour and dashes of a fold; colours repeat with other dashes."""
    cycle, index = divmod(folds.index(fold), len(drawing.SERIES))
    return drawing.SERIES[index], _DASHES[cycle % len(_DASHES)]


def _curve(
    axes: Axes,
    steps: Sequence[float],
    values: Sequence[float],
    line: tuple[str, Dashes],
    *,
    noisy: bool,
) -> None:
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    window = len(y) // 20
    if not noisy or window < 2:
        marker = "o" if len(y) < 25 else ""
        axes.plot(
            x, y, color=line[0], linestyle=line[1], linewidth=1.4, marker=marker, markersize=3
        )
        return
    axes.plot(x, y, color=line[0], linewidth=0.5, alpha=0.25)
    weights = np.convolve(np.ones_like(y), np.ones(2 * window + 1), mode="same")
    mean = np.convolve(y, np.ones(2 * window + 1), mode="same") / weights
    axes.plot(x, mean, color=line[0], linestyle=line[1], linewidth=1.6)
