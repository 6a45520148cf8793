"""µ-RegPro's scores of a cohort as the challenge's public code computes them, faults included.

Source: https://github.com/muregpro/Baseline-Networks; where it differs from what the
challenge describes, docs/reference/metrics.md says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

ROBUST = 0.68
"""Share of cases, or of a case's labels, that the robust measures keep."""

DIVIDED = {"tre": 0.3, "rtre": 0.1, "rts": 0.1, "hd95": 0.2}
"""Metrics of a cohort that are divided by the unregistered cohort's, with weights in the score."""

CUT = ("tre", "rtre", "rts")
"""Those that differ if errors are cut to whole numbers."""

Errors = Float[np.ndarray, "cases labels"]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Errors of all pairs (rows) and labels (columns); 0 if a pair lacks a label on both sides.

    Attributes:
        tre: `muregpro_tre`.
        hd95: `muregpro_hd95`.
    """

    tre: Errors
    hd95: Errors

    def aggregates(self, *, whole: bool) -> dict[str, float]:
        """`tre`, `rtre`, `rts` and `hd95` of the cohort, voxels; NaN if no label is left.

        A label that has no error in any pair is left out of the first three.

        Args:
            whole: means of errors over axes, and of squares over labels, are cut to whole numbers,
                as the code does with TensorFlow before 2.16.
        """
        errors = self.tre[:, np.any(self.tre != 0, axis=0)]
        errors = np.floor(errors + 1e-9) if whole else errors
        cases = np.array([_rms(case, whole=whole) for case in errors])
        robust = np.array([_rms(_lowest(case), whole=whole) for case in errors])
        return {
            "tre": _mean(cases),
            "rtre": _mean(_lowest(cases)),
            "rts": _mean(robust),
            "hd95": _mean(self.hd95.ravel()),
        }


def robust_dice(values: Sequence[float]) -> float:
    """Mean of the 68 % best cases."""
    return -_mean(_lowest(-np.array(values, dtype=np.float64)))


def score(dice: Sequence[float], registered: dict[str, float], before: dict[str, float]) -> float:
    """The challenge's weighted sum, from 0 to 1.

    Args:
        dice: of the first label, one value per case.
        registered: aggregates of the cohort.
        before: aggregates of the unregistered cohort, by which each is divided.
    """
    shares = {name: float(np.clip(ratio(registered[name], before[name]), 0, 1)) for name in DIVIDED}
    errors = math.fsum(weight * (1 - shares[name]) for name, weight in DIVIDED.items())
    return 0.2 * _mean(np.array(dice)) + 0.1 * robust_dice(dice) + errors


def ratio(value: float, unit: float) -> float:
    """Quotient; NaN for two zeros, infinite if only the unit is zero."""
    if unit:
        return value / unit
    return math.nan if value == 0 or math.isnan(value) else math.inf


def _rms(errors: Float[np.ndarray, "n"], *, whole: bool) -> float:
    if not errors.size:
        return math.nan
    mean = float(np.mean(np.square(errors)))
    return math.sqrt(math.floor(mean + 1e-9) if whole else mean)


def _lowest(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    return np.sort(values)[: round(values.size * ROBUST)]


def _mean(values: Float[np.ndarray, "n"]) -> float:
    return float(np.mean(values)) if values.size else math.nan
