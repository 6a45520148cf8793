"""Simulated cohorts whose truth is known, to count false findings and how often intervals cover.

    python tests/null_cohorts.py --repeats 4000

prints, for cohorts of many kinds and sizes, the percentage of p below 0.05 where two models do
not differ, and the percentage of 95 % intervals of a median, of a difference and of a rate
that hold the truth; a dash where nothing is given. `tests/studies/test_null_studies.py` tests
the same figures: a part of them in `make check`, all of them in `make soak`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tenter.metrics.comparison import compare
from tenter.metrics.dependence import Patients
from tenter.metrics.intervals import median_interval, rate_interval

Transform = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Cohort:
    """Which pairs there are: of one patient, or of two.

    Attributes:
        kind: `single` (a pair a patient), `several` (1 to 3 pairs), `uneven` (the first patient
            has as many pairs as all others), `all` (each subject to each other), `folds` (the
            same within five folds), `groups` (half of the subjects to the other half), `drawn`
            (two partners a subject).
        patients: how many.
        labels: values of each pair.
    """

    kind: str
    patients: int
    labels: int = 1

    @property
    def pairs(self) -> list[tuple[int, ...]]:
        """The patient of each pair, or its two."""
        return list(_PAIRS[self.kind](self.patients))

    @property
    def values(self) -> Patients:
        """The patients of each value."""
        return [tuple(f"{name:03d}" for name in pair) for pair in self.pairs for _ in range(self.labels)]


def _drawn(count: int) -> Iterator[tuple[int, int]]:
    random = np.random.default_rng(count)
    partners = ((a, (a + 1 + random.choice(count - 1, 2, replace=False)) % count) for a in range(count))
    return iter(sorted({(a, int(b)) for a, two in partners for b in two}))


_PAIRS: dict[str, Callable[[int], Iterator[tuple[int, ...]]]] = {
    "single": lambda n: ((a,) for a in range(n)),
    "several": lambda n: ((a,) for a in range(n) for _ in range(1 + a % 3)),
    "uneven": lambda n: ((max(0, a),) for a in range(2 - n, n)),
    "all": lambda n: itertools.permutations(range(n), 2),
    "folds": lambda n: (
        pair for pair in itertools.permutations(range(n), 2) if len({x % 5 for x in pair}) < 2
    ),
    "groups": lambda n: itertools.product(range(n // 2), range(n // 2, n)),
    "drawn": _drawn,
}


@dataclass(frozen=True)
class Effects:
    """What values of one patient have in common; shares of a variance of one.

    Attributes:
        patient: of all values of a patient, or of either patient of a pair.
        fixed: of all values with the same fixed image.
        pair: of all values of a pair.
        heavy: whether effects of patients have heavy tails.
    """

    patient: float = 0.0
    fixed: float = 0.0
    pair: float = 0.0
    heavy: bool = False

    def draw(self, cohort: Cohort, random: np.random.Generator) -> np.ndarray:
        """Values of a cohort, distributed alike."""
        pairs = cohort.pairs
        ends = np.array([(pair[0], pair[-1]) for pair in pairs])
        members = np.array([len(set(pair)) for pair in pairs])
        effects = random.standard_t(3, cohort.patients) if self.heavy else random.normal(size=cohort.patients)
        common = np.where(
            members == 2, (effects[ends[:, 0]] + effects[ends[:, 1]]) / math.sqrt(2), effects[ends[:, 0]]
        )
        fixed = random.normal(size=cohort.patients)[ends[:, 1]]
        of_pair = math.sqrt(self.patient) * common + math.sqrt(self.fixed) * fixed
        of_pair = of_pair + math.sqrt(self.pair) * random.normal(size=len(pairs))
        rest = math.sqrt(1 - self.patient - self.fixed - self.pair)
        return np.repeat(of_pair, cohort.labels) + rest * random.normal(size=len(pairs) * cohort.labels)


def vanished(share: float) -> Transform:
    """Skewed values, of which a share is infinite."""
    limit = {0.1: 1.2816, 0.3: 0.5244, 0.45: 0.1257, 0.6: -0.2533}[share]
    return lambda z: np.where(z > limit, math.inf, np.exp(np.minimum(z, limit)))


SHAPES: dict[str, Transform] = {
    "normal": lambda z: z,
    "skewed": np.exp,
    "ties": np.round,
    "few values": lambda z: np.round(z / 2),
    "vanished": vanished(0.3),
    "half vanished": vanished(0.45),
    "most vanished": vanished(0.6),
}
"""Distributions of values, as increasing functions of normal ones."""

EFFECTS = {
    "none": Effects(),
    "weak": Effects(patient=0.3),
    "strong": Effects(patient=0.8, pair=0.1),
    "heavy": Effects(patient=0.6, heavy=True),
    "fixed": Effects(fixed=0.8),
}


def false_positives(cohort: Cohort, effects: Effects, shape: Transform, repeats: int, seed: int = 0) -> float:
    """Share of p below 0.05 where two models are alike; NaN if none is given."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        model, reference = (shape(effects.draw(cohort, random)) for _ in range(2))
        found.append(compare(model, reference, cohort.values).p)
    known = np.array(found)[~np.isnan(found)]
    return float(np.mean(known < 0.05)) if known.size else math.nan


def _share(intervals: list[tuple[float, float]], truth: float) -> float:
    known = [(low, high) for low, high in intervals if not math.isnan(low)]
    return float(np.mean([low <= truth <= high for low, high in known])) if known else math.nan


def coverage_of_median(
    cohort: Cohort, effects: Effects, shape: Transform, repeats: int, seed: int = 0
) -> float:
    """Share of intervals of a median that hold it; NaN if none is given."""
    random = np.random.default_rng(seed)
    drawn = (shape(effects.draw(cohort, random)) for _ in range(repeats))
    values = cohort.values
    return _share([median_interval(one, values) for one in drawn], float(shape(np.zeros(1))[0]))


def coverage_of_difference(
    cohort: Cohort, effects: Effects, shape: Transform, repeats: int, seed: int = 0
) -> float:
    """Share of intervals of a paired difference that hold it, where models differ by patient."""
    random = np.random.default_rng(seed)
    values, found = cohort.values, []
    for _ in range(repeats):
        reference, gain = (effects.draw(cohort, random) for _ in range(2))
        result = compare(reference + shape(gain), reference, values)
        found.append((result.low, result.high))
    return _share(found, float(shape(np.zeros(1))[0]))


def coverage_of_rate(cohort: Cohort, effects: Effects, rate: float, repeats: int, seed: int = 0) -> float:
    """Share of intervals of a rate of failure that hold it."""
    from scipy.stats import norm

    random = np.random.default_rng(seed)
    limit, values = norm.isf(rate), cohort.values
    drawn = (int(np.sum(effects.draw(cohort, random) > limit)) for _ in range(repeats))
    return _share([rate_interval(count, values) for count in drawn], rate)
