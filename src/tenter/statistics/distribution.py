"""Summary of a sample: mean, quantiles, and the interval of the median.

+inf stands for an error that could not be measured because the label vanished. It keeps
its rank, so that leaving out the worst cases never improves medians and quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tenter.statistics.dependence import Patients, Values
from tenter.statistics.intervals import median_interval
from tenter.statistics.lines import Distribution, known


def quantiles(values: Values, shares: Sequence[float]) -> Float[np.ndarray, "k"]:
    """Quantiles by linear interpolation of ranks (type 7); infinite values keep their rank.

    A quantile that falls between a finite value and +inf is +inf.
    Source: Hyndman and Fan, The American Statistician 50 (1996) 361-365.

    Args:
        values: at least one; no NaN.
        shares: from 0 to 1.
    """
    ordered = np.sort(values)
    position = np.asarray(shares) * (values.size - 1)
    lower = np.floor(position).astype(np.int64)
    return _between(ordered[lower], ordered[np.ceil(position).astype(np.int64)], position - lower)


def _between(low: Values, high: Values, part: Values) -> Values:
    """Interpolate; an infinite end wins over a finite one, +inf over -inf."""
    finite = np.isfinite(low) & np.isfinite(high)
    gap = np.subtract(high, low, out=np.zeros_like(low), where=finite)
    inexact = np.where(np.isposinf(high) | np.isfinite(low), high, low)
    return np.where(part == 0, low, np.where(finite, low + gap * part, inexact))


def describe(values: Values, patients: Patients) -> Distribution:
    """Mean, median, quartiles, 10th and 90th percentile, and the median's interval.

    Args:
        values: at least one; +inf for what could not be measured.
        patients: the patient or the two patients of each value.
    """
    median, q1, q3, p10, p90 = (float(x) for x in quantiles(values, (0.5, 0.25, 0.75, 0.1, 0.9)))
    low, high = map(known, median_interval(values, patients))
    return Distribution(
        mean=float(np.mean(values)),
        median=median,
        q1=q1,
        q3=q3,
        p10=p10,
        p90=p90,
        low=low,
        high=high,
    )
