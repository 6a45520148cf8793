"""Simulated cohorts whose truth is known: how often tests find what is not there,
and intervals cover.

    python tests/null_cohorts.py --repeats 2000

prints for cohorts of many kinds and sizes the percentage of p below 0.05 where two models do
not differ, and the percentage of 95 % intervals of a median, of a paired difference and of a rate
of failure that hold the truth; a dash where none is given.
`tests/studies/test_null_studies.py` tests the same figures: some in `make check`, all in
`make soak`.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tenter.statistics.comparison import compare
from tenter.statistics.dependence import Patients
from tenter.statistics.intervals import median_interval, rate_interval

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
        return [
            tuple(f"{name:03d}" for name in pair) for pair in self.pairs for _ in range(self.labels)
        ]


def _drawn(count: int) -> Iterator[tuple[int, int]]:
    random = np.random.default_rng(count)
    partners = (
        (a, (a + 1 + random.choice(count - 1, 2, replace=False)) % count) for a in range(count)
    )
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
        failing: share of patients all of whose values are 4 larger.
    """

    patient: float = 0.0
    fixed: float = 0.0
    pair: float = 0.0
    heavy: bool = False
    failing: float = 0.0

    def draw(self, cohort: Cohort, random: np.random.Generator) -> np.ndarray:
        """Values of a cohort, distributed alike."""
        pairs = cohort.pairs
        ends = np.array([(pair[0], pair[-1]) for pair in pairs])
        members = np.array([len(set(pair)) for pair in pairs])
        effects = (
            random.standard_t(3, cohort.patients)
            if self.heavy
            else random.normal(size=cohort.patients)
        )
        failures = 4.0 * (random.random(cohort.patients) < self.failing)
        two = members == 2
        common = (effects[ends[:, 0]] + two * effects[ends[:, 1]]) / np.sqrt(members)
        fixed = random.normal(size=cohort.patients)[ends[:, 1]]
        of_pair = math.sqrt(self.patient) * common + math.sqrt(self.fixed) * fixed
        of_pair = of_pair + failures[ends[:, 0]] + two * failures[ends[:, 1]]
        of_pair = of_pair + math.sqrt(self.pair) * random.normal(size=len(pairs))
        rest = math.sqrt(1 - self.patient - self.fixed - self.pair)
        return np.repeat(of_pair, cohort.labels) + rest * random.normal(
            size=len(pairs) * cohort.labels
        )


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
    "failing": Effects(failing=0.15),
}
RATES = (0.02, 0.1, 0.25, 0.5, 0.9)


def false_positives(cohort: Cohort, effects: Effects, shape: Transform, repeats: int) -> float:
    """Share of p below 0.05 where two models are alike; NaN if none is given."""
    random, patients = np.random.default_rng(0), cohort.values
    alike = ((shape(effects.draw(cohort, random)) for _ in range(2)) for _ in range(repeats))
    p = np.array([compare(model, reference, patients).p for model, reference in alike])
    known = p[~np.isnan(p)]
    return float(np.mean(known < 0.05)) if known.size else math.nan


def median_coverage(cohort: Cohort, effects: Effects, shape: Transform, repeats: int) -> float:
    """Share of intervals of a median that hold it; NaN if none is given."""
    random, patients = np.random.default_rng(1), cohort.values
    drawn = (shape(effects.draw(cohort, random)) for _ in range(repeats))
    truth = float(shape(np.array([true_median(cohort, effects)]))[0])
    return _covered((median_interval(values, patients) for values in drawn), truth)


def true_median(cohort: Cohort, effects: Effects) -> float:
    """The median of the values of a cohort before their transform: 0 unless some patients fail."""
    if not effects.failing:
        return 0.0
    # Values are normal about 0, 4 or 8, by how many of their patients fail.
    members = len(set(cohort.pairs[0]))
    grid = np.linspace(0, 4, 40_001)
    weights = [
        math.comb(members, k) * effects.failing**k * (1 - effects.failing) ** (members - k)
        for k in range(members + 1)
    ]
    below = sum(weight * norm.cdf(grid - 4 * k) for k, weight in enumerate(weights))
    return float(np.interp(0.5, below, grid))


def difference_coverage(cohort: Cohort, effects: Effects, shape: Transform, repeats: int) -> float:
    """Share of intervals of a paired difference that hold it, where gains differ by patient."""
    random, patients = np.random.default_rng(2), cohort.values

    def interval() -> tuple[float, float]:
        reference, gain = (effects.draw(cohort, random) for _ in range(2))
        found = compare(reference + shape(gain), reference, patients)
        return found.low, found.high

    return _covered((interval() for _ in range(repeats)), float(shape(np.zeros(1))[0]))


def rate_coverage(cohort: Cohort, effects: Effects, rate: float, repeats: int) -> float:
    """Share of intervals of a rate of failure that hold it."""
    random, patients, limit = np.random.default_rng(3), cohort.values, norm.isf(rate)
    counts = (int(np.sum(effects.draw(cohort, random) > limit)) for _ in range(repeats))
    return _covered((rate_interval(count, patients) for count in counts), rate)


def _covered(intervals: Iterable[tuple[float, float]], truth: float) -> float:
    # A difference of sums is rounded: a bound that equals the truth may miss it by that.
    known = [
        truth - 1e-9 <= high and low <= truth + 1e-9
        for low, high in intervals
        if not math.isnan(low)
    ]
    return float(np.mean(known)) if known else math.nan


Measure = Callable[[Cohort, Effects, int], float]


def _of_shape(measure: Callable[[Cohort, Effects, Transform, int], float], shape: str) -> Measure:
    return lambda cohort, effects, repeats: measure(cohort, effects, SHAPES[shape], repeats)


def _of_rate(rate: float) -> Measure:
    return lambda cohort, effects, repeats: rate_coverage(cohort, effects, rate, repeats)


MEASURES: dict[str, dict[str, Measure]] = {
    "p": {shape: _of_shape(false_positives, shape) for shape in ("normal", "skewed", "vanished")},
    "median": {shape: _of_shape(median_coverage, shape) for shape in SHAPES},
    "difference": {
        shape: _of_shape(difference_coverage, shape) for shape in ("normal", "skewed", "ties")
    },
    "rate": {str(rate): _of_rate(rate) for rate in RATES},
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--kinds", nargs="+", default=list(_PAIRS), choices=list(_PAIRS))
    parser.add_argument("--patients", type=int, nargs="+", default=[6, 8, 14, 20, 58])
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--effects", nargs="+", default=list(EFFECTS), choices=list(EFFECTS))
    parser.add_argument("--measures", nargs="+", default=list(MEASURES), choices=list(MEASURES))
    chosen = parser.parse_args(arguments)
    for names in itertools.product(
        chosen.measures, chosen.kinds, chosen.patients, chosen.labels, chosen.effects
    ):
        measure, kind, patients, labels, effect = names
        if measure == "rate" and (labels > 1 or EFFECTS[effect].failing):
            continue
        cohort, effects = Cohort(kind, patients, labels), EFFECTS[effect]
        shares = {
            name: run(cohort, effects, chosen.repeats) for name, run in MEASURES[measure].items()
        }
        cells = (
            f"{name} {'-' if math.isnan(x) else format(100 * x, '.1f')}"
            for name, x in shares.items()
        )
        sys.stdout.write("\t".join([*map(str, names), *cells]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
