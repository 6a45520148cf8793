"""Training curves from the rows of `history.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenter.reporting import words
from tenter.reporting.plots import Curve

Rows = Sequence[Mapping[str, float]]

_SHOWN = (
    ("loss", "Training loss", True),
    ("val_dice", "Dice of patients set aside", False),
    ("val_tre_mm", "TRE of patients set aside (mm)", False),
)


def panels(folds: Mapping[str, Rows]) -> tuple[Curve, ...]:
    """The quantities that any fold recorded, one panel each.

    Args:
        folds: for each fold the rows of its history, as far as they hold a figure.
    """
    found = []
    for column, title, noisy in _SHOWN:
        lines = {fold: _line(rows, column) for fold, rows in folds.items()}
        lines = {fold: line for fold, line in lines.items() if line[0]}
        if lines:
            found.append(Curve(title, lines, noisy))
    return tuple(found)


def _line(rows: Rows, column: str) -> tuple[list[float], list[float]]:
    points = [(row["step"], row[column]) for row in rows if column in row]
    return [step for step, _ in points], [value for _, value in points]


def alternative(model: str, curves: Sequence[Curve]) -> str:
    """What the curves show, in words: each quantity's range over folds at the end."""
    ends = []
    for curve in curves:
        last = [values[-1] for _, values in curve.folds.values()]
        ends.append(f"{curve.title} ends between {min(last):.3g} and {max(last):.3g}")
    return (
        f"Training curves of model {model}, {words.count(len(curves[0].folds), 'fold')}: {'; '.join(ends)}."
    )
