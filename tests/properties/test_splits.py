"""No patient on both sides of a split, whatever the cohort; folds and chunks that stay put."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import pair, paired_cohorts
from tenter import chunks, folds
from tenter.records import Pair


@settings(max_examples=200)
@given(paired_cohorts(), st.integers(0, 5), st.integers(1, 4))
def test_no_patient_is_trained_on_and_tested(
    cohort: tuple[list[Pair], int], seed: int, jobs: int
) -> None:
    pairs, count = cohort
    assignment = folds.assign(pairs, count, seed, {})
    dealt = chunks.deal(pairs, assignment, jobs)
    for fold in range(count):
        tested = {
            p.patient for name, own in dealt.items() if name.startswith(f"{fold}-") for p in own
        }
        tested |= {
            p.patient for name, own in dealt.items() if name.startswith("test-") for p in own
        }
        groups = {str(other) for other in range(count) if other != fold} | {"train"}
        trained = {
            p.patient
            for name, own in dealt.items()
            if name.rpartition("-")[0] in groups
            for p in own
        }
        assert not tested & trained


@settings(max_examples=200)
@given(paired_cohorts(), st.integers(1, 4))
def test_every_pair_is_in_exactly_one_chunk(cohort: tuple[list[Pair], int], jobs: int) -> None:
    pairs, count = cohort
    dealt = chunks.deal(pairs, folds.assign(pairs, count, 0, {}), jobs)
    assert sorted(p.id for own in dealt.values() for p in own) == sorted(p.id for p in pairs)


@settings(max_examples=200)
@given(paired_cohorts(), st.lists(st.integers(0, 60), min_size=1, max_size=10))
def test_a_growing_cohort_moves_nobody(cohort: tuple[list[Pair], int], more: list[int]) -> None:
    pairs, count = cohort
    before = folds.assign(pairs, count, 0, {})
    grown = pairs + [pair(500 + i, patient) for i, patient in enumerate(more)]
    after = folds.assign(grown, count, 0, before)
    assert {patient: after[patient] for patient in before} == before


@settings(max_examples=100)
@given(paired_cohorts())
def test_no_fold_is_empty(cohort: tuple[list[Pair], int]) -> None:
    pairs, count = cohort
    assert set(folds.assign(pairs, count, 0, {}).values()) == set(range(count))


@settings(max_examples=100)
@given(st.integers(2, 6), st.integers(0, 60), st.integers(0, 9))
def test_single_pairs_are_dealt_evenly(count: int, more: int, seed: int) -> None:
    assignment = folds.assign([pair(i, i) for i in range(count + more)], count, seed, {})
    sizes = [list(assignment.values()).count(fold) for fold in range(count)]
    assert max(sizes) - min(sizes) <= 1
