"""Learn2Reg's aggregates of a cohort as its published evaluation computes them (version 2.0).

Source: the evaluation of https://github.com/MDL-UzL/L2R; where it differs from what the
challenge describes, docs/reference/metrics.md says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

HIGH_TAIL = frozenset({"learn2reg_tre", "learn2reg_sd_log_jacobian"})
"""Metrics whose aggregate `30` is the quantile 0.7; otherwise 0.3, for hd95 the better tail."""

AGGREGATES = ("mean", "std", "30")


def aggregate(metric: str, cases: Sequence[float]) -> tuple[float, float, float]:
    """Mean, population standard deviation and `30` of a cohort, in the order of `AGGREGATES`.

    Args:
        metric: its name; decides which quantile `30` is.
        cases: at least one value, the mean over a pair's labels or points; one NaN makes all NaN.
    """
    values = np.array(cases, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # vanished labels are infinite
        share = 0.7 if metric in HIGH_TAIL else 0.3
        return float(values.mean()), float(values.std()), float(np.quantile(values, share))
