"""Dependence of values that share a patient, and its effect on the variance of a sum of scores.

A value belongs to one patient, or to the two patients of a pair of subjects. Values of one
patient, or of one pair of patients, form a unit. Where no patient belongs to two units, units
are independent. Elsewhere pairs share subjects (dyadic data), and the variance of a sum has a
term for every two values with a common patient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

Values = Float[np.ndarray, "n"]
Positions = Float[np.ndarray, "k"]
Index = Int[np.ndarray, "n"]
Patients = Sequence[tuple[str, ...]]
"""For each value its patient, or the two patients of a pair of subjects, the moving one first."""

FEWEST_PATIENTS = 14
"""With fewer patients, pairs that share them get neither p nor interval."""

FEWEST_DEGREES = 3.0
"""With fewer degrees of freedom, they get neither of them."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """Membership of values in groups; a value may belong to several groups, or to none.

    Attributes:
        value: index of a value, once for each group that it belongs to.
        group: index of the group.
        sizes: number of values of each group.
    """

    value: Int[np.ndarray, "m"]
    group: Int[np.ndarray, "m"]
    sizes: Float[np.ndarray, "g"]

    def squares(self, scores: Values) -> float:
        """Sum over groups of the square of the sum of the group's scores."""
        return float(np.sum(np.bincount(self.group, scores[self.value]) ** 2))

    def running_squares(self, ranks: Index, means: Positions) -> Positions:
        """The same for sign scores, for every number k of values that count as low.

        Scores are 1 for the k lowest values and -1 for the others, minus `means[k]`.

        Args:
            ranks: rank of each value in ascending order, from 0.
            means: for k from 0 to n.
        """
        value_ranks = ranks[self.value]
        order = np.lexsort((value_ranks, self.group))
        value_ranks, sizes = value_ranks[order], self.sizes[self.group[order]]
        starts = np.cumsum(self.sizes) - self.sizes
        low = np.arange(order.size) - starts[self.group[order]]
        # With one more low value a group's sum S = 2 low - size becomes S + 2.
        steps = np.bincount(value_ranks, 4 * (2 * low - sizes) + 4, ranks.size)
        shifts = np.bincount(value_ranks, 2 * sizes, ranks.size)
        total = float(np.sum(self.sizes**2))
        squares = total + np.concatenate([[0.0], np.cumsum(steps)])
        products = -total + np.concatenate([[0.0], np.cumsum(shifts)])
        return np.asarray(squares - 2 * means * products + means**2 * total)

    def matrix(self, values: int) -> sparse.csr_array:
        """Membership as a matrix of groups by values."""
        ones = np.ones(self.value.size)
        return sparse.csr_array((ones, (self.group, self.value)), (self.sizes.size, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """How values depend on one another through their patients.

    Attributes:
        count: number of values.
        units: values by their patient or pair of patients, whatever its direction.
        couples: the same, without values of one patient.
        patients: values by each of their patients.
        roles: values by the patient of the moving image, and by that of the fixed one.
        shared: whether some patient belongs to more than one unit.
        degrees: degrees of freedom of the variance of shared patients; NaN where none is
            shared, or patients are too few for a test: fewer than `FEWEST_PATIENTS`, or
            `FEWEST_DEGREES` degrees of freedom.
    """

    count: int
    units: Grouping
    couples: Grouping
    patients: Grouping
    roles: tuple[Grouping, Grouping]
    shared: bool
    degrees: float

    @classmethod
    def of(cls, patients: Patients) -> Dependence:
        """Describe the dependence of values by the patients that each belongs to."""
        return _dependence(tuple(patients))

    def variance(self, scores: Values) -> float:
        """Variance of the sum of scores that depend on each other only through shared patients."""
        centred = scores - np.mean(scores)
        groupings = (self.patients, self.couples, self.units)
        return float(self._variance(*(np.array(part.squares(centred)) for part in groupings)))

    def running_variances(self, ranks: Index) -> Positions:
        """The same for sign scores, for every number of values that count as low."""
        means = 2 * np.arange(self.count + 1) / self.count - 1
        groupings = (self.patients, self.couples, self.units)
        return self._variance(*(part.running_squares(ranks, means) for part in groupings))

    def _variance(self, patients: np.ndarray, couples: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Bias-corrected sum of products over all pairs of values with a common patient.

        It is at least half of the variance for independent units, because the covariance
        estimated from a few patients may be negative. The factor of one half is from simulation.
        Sources: Fafchamps and Gubert, J. Development Economics 83 (2007) 326-350; Aronow,
        Samii and Assenova, Political Analysis 23 (2015) 564-577.
        """
        # A pair of subjects was counted for both of them.
        connected = np.sum(self.patients.sizes**2) - np.sum(self.couples.sizes**2)
        alone = np.sum(self.units.sizes**2)
        dyadic = (patients - couples) / (1 - connected / self.count**2)
        return np.asarray(np.maximum(dyadic, 0.5 * units / (1 - alone / self.count**2)))

    def effective_number(self) -> float:
        """Effective sample size if the values are determined by their patients.

        All values of a patient are assumed to be equal; for pairs of subjects, it is the smallest
        of three cases: both patients, the moving one, or the fixed one determine the value.
        Source: Kish, Survey Sampling (1965), section 8.2.
        """
        alone = np.sum(self.units.sizes**2)
        if not self.couples.value.size:
            return float(self.count**2 / alone)
        # Pairs with one common subject correlate by one half if both subjects determine the value.
        single = alone - np.sum(self.couples.sizes**2)
        both = (np.sum(self.patients.sizes**2) + single) / 2
        either = (np.sum(role.sizes**2) for role in self.roles)
        return float(self.count**2 / max(both, *either))


@functools.lru_cache(maxsize=32)
def _dependence(patients: tuple[tuple[str, ...], ...]) -> Dependence:
    sets = [frozenset(names) for names in patients]
    unit_of = {names: index for index, names in enumerate(sorted(set(sets), key=sorted))}
    index_of = {name: index for index, name in enumerate(sorted(set().union(*sets)))}
    members = [(value, index_of[name]) for value, names in enumerate(sets) for name in names]
    units = [(value, unit_of[names]) for value, names in enumerate(sets)]
    couples = [pair for pair, names in zip(units, sets, strict=True) if len(names) > 1]
    moving, fixed = (
        _grouping(
            [(value, index_of[names[end]]) for value, names in enumerate(patients)], len(index_of)
        )
        for end in (0, -1)
    )
    dependence = Dependence(
        count=len(sets),
        units=_grouping(units, len(unit_of)),
        couples=_grouping(couples, len(unit_of)),
        patients=_grouping(members, len(index_of)),
        roles=(moving, fixed),
        shared=sum(map(len, unit_of)) > len(index_of),
        degrees=math.nan,
    )
    return (
        replace(dependence, degrees=_degrees_of_freedom(dependence))
        if dependence.shared
        else dependence
    )


def _grouping(members: Sequence[tuple[int, int]], groups: int) -> Grouping:
    """Membership from tuples (value, group)."""
    value, group = np.array(members, dtype=np.int64).reshape(-1, 2).T
    return Grouping(value, group, np.bincount(group, minlength=groups).astype(np.float64))


def _degrees_of_freedom(dependence: Dependence) -> float:
    """Degrees of freedom of the variance, the fewest of three models of patients' effects.

    In these each patient adds a normal effect to all of its values, or only to those where it
    is the moving one, or the fixed one.
    Source: Satterthwaite, Biometrics Bulletin 2 (1946) 110-114.

    Returns:
        NaN if patients are too few for a test.
    """
    if dependence.patients.sizes.size < FEWEST_PATIENTS:
        return math.nan
    effects = (dependence.patients, *dependence.roles)
    fewest = min(_degrees(dependence, effect) for effect in effects)
    return fewest if fewest >= FEWEST_DEGREES else math.nan


def _degrees(dependence: Dependence, effects: Grouping) -> float:
    """Squared mean over half the variance of w' B w, the variance for normal effects w.

    B = C (Z'Z - P'P) C' with C the centred effects, Z patients and P couples by values. It is
    S - v s' - s v' + b s s' with a sparse S, from which both traces are taken.
    """
    count, z, p = dependence.count, dependence.patients, dependence.couples
    weights = effects.matrix(count)
    patients, couples = weights @ z.matrix(count).T, weights @ p.matrix(count).T
    inner = (patients @ patients.T - couples @ couples.T).tocsr()
    s = effects.sizes
    v = (patients @ z.sizes - couples @ p.sizes) / count
    b = (np.sum(z.sizes**2) - np.sum(p.sizes**2)) / count**2
    vs, ss = v @ s, s @ s
    trace = inner.trace() - 2 * vs + b * ss
    low_rank = 2 * (v @ v) * ss + 2 * vs**2 + b**2 * ss**2 - 4 * b * vs * ss
    cross = b * (s @ (inner @ s)) - 2 * (s @ (inner @ v))
    squared = inner.multiply(inner).sum() + low_rank + 2 * cross
    return float(trace**2 / squared) if trace > 0 and squared > 0 else 0.0
