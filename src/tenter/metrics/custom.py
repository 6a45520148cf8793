"""Metrics of one's own: functions of a label pair or of a displacement field."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from tenter import config, plugin_imports
from tenter.errors import DataError
from tenter.metrics.measurands import WarpedLabel
from tenter.metrics.regions import Grid
from tenter.records import Fault
from tenter.shapes import Matrix
from tenter.spatial.geometry import spacing_mm

FIX = "correct the function: docs/how-to/your-own-code.md says what it takes and returns"


@dataclass(frozen=True, slots=True)
class CustomMetric:
    """A metric with its function.

    Attributes:
        settings: where it is, and what it measures.
        function: with its settings.
        geometry: which of `spacing_mm` and `affine` the function takes.
    """

    settings: config.CustomMetric
    function: Callable[..., Any]
    geometry: frozenset[str]

    def measures(self, role: str) -> bool:
        """Whether it measures labels of a role; or the field, for the role `field`."""
        if role == "field":
            return self.settings.of == "field"
        return self.settings.of == "label" and role in self.settings.roles

    def of_label(self, label: WarpedLabel) -> float | None:
        """The value for a label; None, which counts as worst, for one that vanished.

        Raises:
            DataError: the function failed, or returned something else than a finite number.
        """
        value = self._call((label.warped, label.fixed), label.affine)
        vanished = not label.warped.any()
        if value is None and vanished and self.settings.better == "lower":
            return None
        return self._number(value, vanished=vanished)

    def of_field(self, displacement_mm: Float[np.ndarray, "3 x y z"], affine: Matrix) -> float:
        """The value for a displacement field in RAS mm on the fixed image's grid.

        Raises:
            DataError: as `of_label`.
        """
        return self._number(self._call((displacement_mm,), affine), vanished=False)

    def _call(self, arrays: Sequence[np.ndarray], affine: Matrix) -> Any:  # noqa: ANN401 - theirs
        known = {"spacing_mm": tuple(map(float, spacing_mm(affine))), "affine": affine}
        geometry = {key: value for key, value in known.items() if key in self.geometry}
        try:
            return self.function(*arrays, **geometry)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            message = f"failed ({type(error).__name__}: {reason})"
            raise self._fault(message) from error

    def _number(self, value: Any, *, vanished: bool) -> float:  # noqa: ANN401 - of their function
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            number = math.nan
        if math.isfinite(number):
            return number
        state = " for a label that vanished" if vanished else ""
        message = f"returned {value!r:.60} instead of a finite number{state}"
        raise self._fault(message)

    def _fault(self, message: str) -> DataError:
        return DataError(Fault(self.settings.reference.portable, message, FIX))


def load(metrics: Iterable[config.CustomMetric]) -> tuple[CustomMetric, ...]:
    """Import the functions of metrics, which runs their files.

    Raises:
        InputError: one cannot be imported, or its settings are not valid.
    """
    return tuple(map(_loaded, metrics))


def _loaded(metric: config.CustomMetric) -> CustomMetric:
    code = plugin_imports.load(metric.reference)
    arguments = plugin_imports.arguments(metric.reference, code, metric.settings)
    geometry = frozenset({"spacing_mm", "affine"} & plugin_imports.parameters(code).keys())
    return CustomMetric(metric, functools.partial(code, **arguments), geometry)


def trial(metric: CustomMetric) -> str:
    """Why a metric fails on a small example; empty if it works.

    The example is a pair of cubes and a label that vanished, or a field that moves nothing.
    """
    grid = Grid(np.diag([1.0, 2.0, 3.0, 1.0]), (12, 12, 12))
    cube = np.zeros(grid.shape, dtype=np.bool_)
    cube[3:9, 3:9, 3:9] = True
    try:
        if metric.settings.of == "field":
            metric.of_field(np.zeros((3, *grid.shape)), grid.affine)
        else:
            for warped in (cube, np.zeros_like(cube)):
                metric.of_label(WarpedLabel(warped, cube, grid.affine))
    except DataError as error:
        return error.faults[0].message
    return ""
