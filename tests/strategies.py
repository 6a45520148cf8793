"""Generators of valid inputs for properties: seeds, masks, grids, maps and cohorts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from builders.tiny_cohorts import world
from tenter import folds
from tenter.config import Pairing
from tenter.manifest import pairing
from tenter.manifest.sheet import Sheet
from tenter.metrics.regions import Grid
from tenter.records import Pair, Subject
from tenter.shapes import Matrix
from tenter.spatial import geometry
from tenter.spatial.transform import Transform

seeds = st.integers(0, 2**31 - 1)
"""For any generator of random numbers."""

masks = hnp.arrays(np.bool_, (5, 4, 6), elements=st.booleans())
"""Small labels, empty and full ones too."""

orders = st.permutations([0, 1, 2])
"""Orders in which a file may store three axes."""

flips = st.tuples(*[st.booleans()] * 3)
"""Which of them it stores in the opposite direction."""

GROUPS = ("a", "b", "c")


def spacings(least: float, most: float) -> st.SearchStrategy[tuple[float, float, float]]:
    """Voxel sides in mm."""
    return st.tuples(*[st.floats(least, most)] * 3)


def affine(seed: int) -> Matrix:
    """A voxel-to-mm affine of any direction (either handedness) and voxel size."""
    random = np.random.default_rng(seed)
    result = np.eye(4)
    result[:3, :3] = Rotation.random(rng=random).as_matrix() * random.uniform(0.5, 3, 3)
    result[:3, 0] *= random.choice([-1, 1])
    result[:3, 3] = random.uniform(-100, 100, 3)
    return result


@st.composite
def grids(draw: st.DrawFn, size: int) -> Grid:
    """A grid around (10, -20, 30) mm, of at most `size` voxels a side, stored in any way."""
    shape = (draw(st.integers(4, size)), draw(st.integers(4, size)), draw(st.integers(4, size)))
    signs = [-1 if flip else 1 for flip in draw(flips)]
    steps = [side * sign for side, sign in zip(draw(spacings(0.6, 3.0)), signs, strict=True)]
    return Grid(world(shape, steps, draw(st.floats(-180, 180))), shape)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    """A field of at most 0.4 voxels a component, which does not fold,
    then a small turn and shift.
    """
    grid = draw(grids(7))
    generator = torch.Generator().manual_seed(draw(seeds))
    noise = torch.rand(1, 3, *grid.shape, generator=generator)
    turn = world((1, 1, 1), (1.0, 1.0, 1.0), draw(st.floats(-20, 20)))
    middle = geometry.translation((10.0, -20.0, 30.0))
    shift = geometry.translation(draw(st.tuples(*[st.floats(-5, 5)] * 3)))
    field = torch.nn.functional.avg_pool3d((noise - 0.5) * 0.8, 3, stride=1, padding=1)
    return Transform(shift @ turn @ np.linalg.inv(middle), field.double(), grid.affine)


def pair(number: int, patient: int, kind: str = "cv", stratum: str | None = None) -> Pair:
    """A row of a manifest of pairs."""
    return Pair(
        id=f"p{number}",
        patients=(f"P{patient}",),
        moving=Path(f"m{number}"),
        fixed=Path(f"f{number}"),
        set=kind,  # type: ignore[arg-type]
        stratum=stratum,
    )


@st.composite
def paired_cohorts(draw: st.DrawFn) -> tuple[list[Pair], int]:
    """Pairs and a number of folds; at least as many cross-validated patients as folds."""
    count = draw(st.integers(2, 6))
    patients = [*range(count), *draw(st.lists(st.integers(0, 40), min_size=1, max_size=60))]
    strata = {patient: draw(st.sampled_from([None, "a", "b"])) for patient in set(patients)}
    pairs = [pair(i, patient, stratum=strata[patient]) for i, patient in enumerate(patients)]
    extra = draw(st.lists(st.sampled_from(["train", "test"]), max_size=8))
    pairs += [pair(1000 + i, 1000 + i, kind) for i, kind in enumerate(extra)]
    return pairs, count


def subject(number: int, patient: int, group: str, kind: str = "cv") -> Subject:
    """A row of a manifest of subjects."""
    return Subject(
        id=f"s{number}",
        patient=f"P{patient}",
        image=Path(f"s{number}.nii"),
        group=group,
        set=kind,  # type: ignore[arg-type]
        stratum=group,
        row=number + 2,
    )


@dataclass(frozen=True)
class SubjectCohort:
    """Subjects, some of whom share a patient, and rules that pair them."""

    subjects: tuple[Subject, ...]
    rules: Pairing
    count: int

    def pairs(self, kept: tuple[str, ...] = ()) -> tuple[Pair, ...]:
        """The pairs that the rules make, with those that were made before."""
        return pairing.drawn(Sheet(Path("subjects.tsv")), self.subjects, self.rules, kept)

    def folds(self) -> dict[str, int]:
        """Patient to fold."""
        return folds.assign(self.subjects, self.count, 0, {})


@st.composite
def pairing_rules(draw: st.DrawFn) -> Pairing:
    """Any `pairing` section for subjects of `GROUPS`."""
    groups = draw(st.sampled_from(["within", "between", "mixed"]))
    forward = draw(st.permutations(GROUPS)) if groups != "within" and draw(st.booleans()) else ()
    return Pairing(
        groups=groups,
        forward=tuple(forward),
        pairs_per_subject=draw(st.none() | st.integers(1, 6)),
        seed=draw(st.integers(0, 3)),
    )


@st.composite
def subject_cohorts(draw: st.DrawFn) -> SubjectCohort:
    """At least as many cross-validated patients as folds; every group is there."""
    count = draw(st.integers(2, 4))
    patients = [*range(max(count, 3)), *draw(st.lists(st.integers(0, 14), max_size=14))]
    kinds = st.sampled_from(["cv", "cv", "cv", "train", "test"])
    sets = {patient: "cv" if patient < count else draw(kinds) for patient in patients}
    named = [*GROUPS, *(draw(st.sampled_from(GROUPS)) for _ in patients[3:])]
    people = [subject(i, p, named[i], sets[p]) for i, p in enumerate(patients)]
    return SubjectCohort(tuple(people), draw(pairing_rules()), count)
