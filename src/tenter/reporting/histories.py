"""Training curves from the rows of `history.csv`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tenter.reporting import words
from tenter.reporting.plots import Curve

Rows = Sequence[Mapping[str, float]]

_SHOWN = (
    ("loss", "Training loss", True),
    ("val_dice", "Dice of validation patients", False),
    ("val_tre_mm", "TRE of validation patients (mm)", False),
)


def panels(folds: Mapping[str, Rows]) -> tuple[Curve, ...]:
    """The quantities that any fold recorded, one panel each.

    Args:
        folds: for each fold the rows of its history that hold a figure.
    """
    curves = []
    for column, title, noisy in _SHOWN:
        lines = {fold: _line(rows, column) for fold, rows in folds.items()}
        lines = {fold: line for fold, line in lines.items() if line[0]}
        if lines:
            curves.append(Curve(title, lines, noisy))
    return tuple(curves)


def warnings(model: str, folds: Mapping[str, Rows]) -> Iterator[str]:
    """Warnings about a model's training curves: a loss that did not fall, and what to do about it.

    Args:
        model: the model's name.
        folds: for each fold the rows of its history.
    """
    ends = {fold: loss_ends(rows) for fold, rows in folds.items()}
    known = {fold: both for fold, both in ends.items() if both is not None}
    flat = {fold: both for fold, both in known.items() if not _fell(*both)}
    if flat:
        which = (
            "any fold"
            if len(flat) == len(folds) and len(flat) > 1
            else f"fold {words.listed(list(flat))}"
        )
        first, last = (sum(both[end].mean for both in flat.values()) / len(flat) for end in (0, 1))
        yield (
            f"Model {model}: the training loss did not fall in {which} ({first:.3g} at the "
            f"beginning, {last:.3g} at the end): the networks have hardly learnt. Raise "
            "training.learning_rate or training.steps."
        )
    short = [fold for fold in folds if ends[fold] is None]
    if short:
        yield (
            f"Model {model}: the loss of fold {words.listed(short)} was recorded fewer than two "
            "times, so it is not known whether it fell. Raise training.steps, or lower "
            "runtime.log_every."
        )


def validation(pairs: Mapping[str, int]) -> Iterator[str]:
    """Warnings about validation curves of a single pair.

    Args:
        pairs: number of validation pairs of each fold.
    """
    single = [fold for fold, count in pairs.items() if count == 1]
    if single:
        which = (
            "every fold"
            if len(single) == len(pairs) and len(pairs) > 1
            else f"fold {words.listed(single)}"
        )
        yield (
            f"Validation of {which} is on a single pair: its curve shows that pair alone and says "
            "little about other patients. Raise validation.fraction, or add patients."
        )


@dataclass(frozen=True, slots=True)
class End:
    """The loss at one end of a training: its mean there, and the standard error of the mean."""

    mean: float
    error: float


def loss_ends(rows: Rows) -> tuple[End, End] | None:
    """The loss of the first and of the last fifth of a history; None for fewer than two values."""
    values = _line(rows, "loss")[1]
    if len(values) < 2:
        return None
    count = max(1, len(values) // 5)
    return _end(values[:count]), _end(values[-count:])


def _end(values: Sequence[float]) -> End:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return End(statistics.fmean(values), error)


def _fell(first: End, last: End) -> bool:
    """Whether a loss fell by more than 1 % and by more than its noise at the end."""
    return first.mean - last.mean > max(abs(first.mean) / 100, 3 * last.error)


def _line(rows: Rows, column: str) -> tuple[list[float], list[float]]:
    points = [(row["step"], row[column]) for row in rows if column in row]
    return [step for step, _ in points], [value for _, value in points]


def alternative(model: str, curves: Sequence[Curve]) -> str:
    """What the curves show, in words: each quantity's range over folds at the end."""
    ends = []
    for curve in curves:
        last = [values[-1] for _, values in curve.folds.values()]
        ends.append(f"{curve.title} ends between {min(last):.3g} and {max(last):.3g}")
    folds = words.count(len(curves[0].folds), "fold")
    return f"Training curves of model {model}, {folds}: {'; '.join(ends)}."
