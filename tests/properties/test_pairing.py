"""Pairs of subjects: no patient on both sides of any split,
and a draw that a growing cohort leaves alone.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from strategies import GROUPS, SubjectCohort, subject, subject_cohorts
from tenter import chunks
from tenter.folds import set_aside


@settings(max_examples=100)
@given(subject_cohorts(), st.integers(1, 3))
def test_no_patient_is_trained_on_and_tested(cohort: SubjectCohort, jobs: int) -> None:
    dealt = chunks.deal(cohort.pairs(), cohort.folds(), jobs)
    for fold in map(str, range(cohort.count)):
        tested = [
            pair
            for name, own in dealt.items()
            if chunks.tested_by(name) in {fold, "test"}
            for pair in own
        ]
        taught = [
            pair for name, own in dealt.items() if chunks.may_train(name, fold) for pair in own
        ]
        seen = {patient for pair in taught for patient in pair.patients}
        assert not seen & {patient for pair in tested for patient in pair.patients}


@settings(max_examples=100)
@given(subject_cohorts())
def test_a_model_learns_from_every_pair_that_it_may_and_from_no_other(
    cohort: SubjectCohort,
) -> None:
    assignment, pairs = cohort.folds(), cohort.pairs()
    dealt = chunks.deal(pairs, assignment, 2)
    tested = {person.patient for person in cohort.subjects if person.set == "test"}
    for fold in range(cohort.count):
        forbidden = tested | {patient for patient, own in assignment.items() if own == fold}
        allowed = {pair.id for pair in pairs if forbidden.isdisjoint(pair.patients)}
        taught = [
            p.id for name, own in dealt.items() if chunks.may_train(name, str(fold)) for p in own
        ]
        assert sorted(taught) == sorted(allowed)


@settings(max_examples=100)
@given(subject_cohorts())
def test_a_pair_is_tested_by_the_fold_of_both_its_patients_or_by_none(
    cohort: SubjectCohort,
) -> None:
    assignment = cohort.folds()
    for name, own in chunks.deal(cohort.pairs(), assignment, 2).items():
        assert re.fullmatch(chunks.PATTERN, name)
        for pair in own:
            of = {str(assignment.get(patient)) for patient in pair.patients}
            expected = "test" if pair.set == "test" else of.pop() if len(of) == 1 else None
            assert chunks.tested_by(name) == (None if pair.set == "train" else expected)


@settings(max_examples=100)
@given(subject_cohorts(), st.floats(0.05, 0.6))
def test_no_patient_is_learnt_from_and_watched(cohort: SubjectCohort, fraction: float) -> None:
    patients = {pair.id: pair.patients for pair in cohort.pairs()}
    assume(patients)
    split = set_aside(patients, fraction, seed=0, fold="0")
    learnt, watched = (
        {patient for pair in part for patient in patients[pair]}
        for part in (split.training, split.validation)
    )
    assert not learnt & watched
    assert sorted([*split.training, *split.validation, *split.left_out]) == sorted(patients)


@settings(max_examples=100)
@given(subject_cohorts())
def test_pairs_obey_the_rules(cohort: SubjectCohort) -> None:
    people = {person.id: person for person in cohort.subjects}
    for pair in cohort.pairs():
        moving, fixed = (people[name] for name in pair.id.split("--"))
        same = moving.group == fixed.group
        assert cohort.rules.groups in {"mixed", "within" if same else "between"}
        if cohort.rules.forward and not same:
            assert cohort.rules.forward.index(moving.group) < cohort.rules.forward.index(
                fixed.group
            )
        assert {moving.set, fixed.set} == {"test"} or "test" not in {moving.set, fixed.set}


@settings(max_examples=100)
@given(subject_cohorts())
def test_a_draw_gives_each_subject_its_pairs(cohort: SubjectCohort) -> None:
    assume(cohort.rules.pairs_per_subject is not None)
    every = replace(cohort, rules=cohort.rules.model_copy(update={"pairs_per_subject": None}))
    possible, drawn = (
        Counter(name for pair in item.pairs() for name in pair.id.split("--"))
        for item in (every, cohort)
    )
    wanted = cohort.rules.pairs_per_subject or 0
    assert all(drawn[name] >= min(wanted, possible[name]) for name in possible)


@settings(max_examples=100)
@given(subject_cohorts(), st.sampled_from(GROUPS))
def test_a_new_subject_leaves_every_pair_where_it_is(cohort: SubjectCohort, group: str) -> None:
    before = tuple(pair.id for pair in cohort.pairs())
    grown = replace(cohort, subjects=(*cohort.subjects, subject(99, 99, group)))
    after = {pair.id for pair in grown.pairs(kept=before)}
    assert set(before) <= after
    assert all("s99" in name.split("--") for name in after - set(before))


@settings(max_examples=100)
@given(subject_cohorts())
def test_a_subject_that_leaves_takes_only_its_own_pairs(cohort: SubjectCohort) -> None:
    before = tuple(pair.id for pair in cohort.pairs())
    gone = cohort.subjects[-1].id
    rules = cohort.rules.model_copy(update={"forward": ()})
    fewer = replace(cohort, subjects=cohort.subjects[:-1], rules=rules)
    assume(len(fewer.subjects) > 3)
    kept = {name for name in before if gone not in name.split("--")}
    assert kept <= {pair.id for pair in fewer.pairs(kept=before)}


@settings(max_examples=100)
@given(subject_cohorts(), st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(cohort: SubjectCohort, random: object) -> None:
    people = list(cohort.subjects)
    random.shuffle(people)  # type: ignore[attr-defined]
    assert replace(cohort, subjects=tuple(people)).pairs() == cohort.pairs()
