"""Figures of many pairs: quantiles that keep the worst, intervals that draw patients.

+inf stands for an error that could not be measured because the label vanished. It keeps
its rank, so medians and quantiles are never flattered by leaving the worst cases out.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Values = Float[np.ndarray, "n"]
Patients = Sequence[tuple[str, ...]]
"""For each value whom it was measured on: one patient, or the two of a pair of subjects."""

BLOCK = 2_000_000
"""Numbers that a bootstrap holds at a time."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A sample in a few figures; `low` and `high` bound the median with 95 % confidence."""

    mean: float
    median: float
    q1: float
    q3: float
    p10: float
    p90: float
    low: float
    high: float


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random numbers that depend on a seed and on what they are for, not on any order of calls."""
    words = np.frombuffer(hashlib.sha256("\0".join(names).encode()).digest(), dtype=np.uint32)
    return np.random.default_rng(np.random.SeedSequence([seed, *(int(word) for word in words)]))


def quantiles(values: Values, shares: Sequence[float]) -> Float[np.ndarray, "k"]:
    """Quantiles by linear interpolation of ranks (type 7), with infinite values in their rank.

    A quantile that falls between a finite value and +inf is +inf.
    Source: Hyndman and Fan, The American Statistician 50 (1996) 361-365.

    Args:
        values: at least one; no NaN.
        shares: from 0 to 1.
    """
    ordered, once = np.sort(values), np.ones((values.size, 1), dtype=np.int32)
    return np.array([weighted_quantile(ordered, once, share)[0] for share in shares])


def weighted_quantile(
    ordered: Values, weights: Int[np.ndarray, "n r"], share: float
) -> Float[np.ndarray, "r"]:
    """One quantile of each resample, in which value i stands `weights[i, j]` times.

    Args:
        ordered: values from the lowest to the highest.
        weights: for each value, how often it stands in each resample.
        share: from 0 to 1.

    Returns:
        NaN for a resample in which nothing stands.
    """
    reached = np.cumsum(weights, axis=0, dtype=np.int32)
    total = reached[-1]
    place = share * np.maximum(total - 1, 0)
    lower = np.floor(place).astype(np.int32)
    part = place - lower
    low = ordered[np.minimum(np.count_nonzero(reached <= lower, axis=0), ordered.size - 1)]
    upper = lower + (part > 0)
    high = ordered[np.minimum(np.count_nonzero(reached <= upper, axis=0), ordered.size - 1)]
    return np.where(total > 0, _between(low, high, part), np.nan)


def _between(low: Values, high: Values, part: Values) -> Values:
    """Interpolate; an infinite end wins over a finite one, +inf over -inf."""
    finite = np.isfinite(low) & np.isfinite(high)
    gap = np.subtract(high, low, out=np.zeros_like(low), where=finite)
    inexact = np.where(np.isposinf(high) | np.isfinite(low), high, low)
    return np.where(part == 0, low, np.where(finite, low + gap * part, inexact))


def describe(values: Values, patients: Patients, resamples: int, random: np.random.Generator) -> Distribution:
    """Mean, median, quartiles, 10th and 90th percentile, and the median's interval.

    Args:
        values: at least one; +inf for what could not be measured.
        patients: whom each value was measured on.
        resamples: of the bootstrap.
        random: its generator.
    """
    median, q1, q3, p10, p90 = (float(x) for x in quantiles(values, (0.5, 0.25, 0.75, 0.1, 0.9)))
    low, high = median_interval(values, patients, resamples, random)
    return Distribution(float(np.mean(values)), median, q1, q3, p10, p90, low, high)


def median_interval(
    values: Values, patients: Patients, resamples: int, random: np.random.Generator
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the median, clustered by patient.

    Patients are drawn with replacement, each with all of its values. A value that belongs
    to two patients stands as often as the product of their draws: so pairs that share a
    subject are not taken for independent.
    Sources: Field and Welsh, JRSS B 69 (2007) 369-390 (clusters); Snijders and Borgatti,
    Connections 22 (1999) 161-170 (pairs of subjects).

    Returns:
        NaN twice if all values are of one patient: nothing then tells how patients differ.
    """
    names = sorted({name for group in patients for name in group})
    if len(names) < 2:
        return math.nan, math.nan
    order = np.argsort(values, kind="stable")
    owners = _owners(names, patients)[:, order]
    medians = []
    step = max(1, BLOCK // max(values.size, len(names)))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        times = _draws(len(names), count, random)
        weights = functools.reduce(np.multiply, (times[owner] for owner in owners))
        medians.append(weighted_quantile(values[order], weights, 0.5))
    drawn = np.concatenate(medians)
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return math.nan, math.nan
    low, high = quantiles(drawn, (0.025, 0.975))
    return float(low), float(high)


def _draws(patients: int, count: int, random: np.random.Generator) -> Int[np.ndarray, "n r"]:
    """How often each patient is drawn in each resample; a last row of ones stands for no patient."""
    drawn = random.integers(0, patients, size=(count, patients), dtype=np.int32)
    places = drawn * np.int32(count) + np.arange(count, dtype=np.int32)[:, None]
    times = np.bincount(places.ravel(), minlength=patients * count).reshape(patients, count)
    return np.concatenate([times, np.ones((1, count), dtype=times.dtype)]).astype(np.int32)


def _owners(names: Sequence[str], patients: Patients) -> Int[np.ndarray, "k n"]:
    """Index of each value's first, second, ... patient; `len(names)` where it has no further one."""
    place = {name: index for index, name in enumerate(names)}
    most = max(map(len, patients))
    padded = [[*(place[name] for name in group), *[len(names)] * (most - len(group))] for group in patients]
    return np.array(padded, dtype=np.int64).T


def wilson(count: int, total: int, independent: int | None = None) -> tuple[float, float]:
    """95 % interval of a rate by Wilson's score.

    Source: Wilson, JASA 22 (1927) 209-212.

    Args:
        count: how often it happened.
        total: of how many.
        independent: number of independent units among them (patients); the interval is as
            wide as if a patient's pairs were one observation. Default: all are independent.
    """
    if total == 0:
        return math.nan, math.nan
    units = min(total, total if independent is None else independent)
    z2 = 1.959963984540054**2
    rate = count / total
    middle = (rate + z2 / (2 * units)) / (1 + z2 / units)
    half = math.sqrt(z2 * (rate * (1 - rate) / units + z2 / (4 * units**2))) / (1 + z2 / units)
    return max(0.0, middle - half), min(1.0, middle + half)
