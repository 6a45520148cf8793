"""The draw of pairs, and the file that remembers it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenter.config import Pairing
from tenter.errors import InputError
from tenter.manifest import pairing
from tenter.manifest.sheet import Sheet
from tenter.records import Subject


def people(count: int, groups: str = "m") -> list[Subject]:
    return [
        Subject(
            id=f"s{i}",
            patient=f"P{i}",
            image=Path(f"{i}.nii"),
            group=groups[i % len(groups)],
            row=i + 2,
        )
        for i in range(count)
    ]


def ids(subjects: list[Subject], rules: Pairing, locked: tuple[str, ...] = ()) -> list[str]:
    return [pair.id for pair in pairing.drawn(Sheet(Path("m.tsv")), subjects, rules, locked)]


def test_forward_brings_the_earlier_group_to_the_later() -> None:
    rules = Pairing(groups="between", forward=("u", "m"))
    assert ids(people(4, "mu"), rules) == ["s1--s0", "s1--s2", "s3--s0", "s3--s2"]


def test_within_a_group_both_directions_are_pairs_whatever_goes_forward() -> None:
    rules = Pairing(forward=("u", "m"))
    assert ids(people(3, "mu"), rules) == ["s0--s2", "s1--s0", "s1--s2", "s2--s0"]


def test_a_draw_is_about_as_large_as_asked_for() -> None:
    drawn = ids(people(50), Pairing(pairs_per_subject=8))
    # Each pair counts for two subjects; some get more as others draw them.
    assert 50 * 8 / 2 <= len(drawn) <= 50 * 8 * 0.75


def test_another_seed_draws_others() -> None:
    first, second = (
        set(ids(people(20), Pairing(pairs_per_subject=3, seed=seed))) for seed in (0, 1)
    )
    assert len(first & second) < len(first) / 2


def test_remembered_pairs_stay_as_far_as_the_rules_allow() -> None:
    rules = Pairing(pairs_per_subject=1, groups="between")
    drawn = ids(people(4, "mu"), rules, ("s0--s2", "s0--s9", "s3--s0"))
    assert "s3--s0" in drawn
    assert not {"s0--s2", "s0--s9"} & set(drawn)


def test_a_list_of_pairs_round_trips_sorted(tmp_path: Path) -> None:
    pairing.write_lock(tmp_path / "x.pairs.tsv", ["b--a", "a--b"])
    assert pairing.read_lock(tmp_path / "x.pairs.tsv") == ("a--b", "b--a")


def test_no_list_is_an_empty_one(tmp_path: Path) -> None:
    assert pairing.read_lock(tmp_path / "none.tsv") == ()


@pytest.mark.parametrize("text", ["", "pair\na-b\n", "a--b\n"])
def test_a_spoilt_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.tsv").write_text(text)
    with pytest.raises(InputError, match="restore it, or delete it to draw anew"):
        pairing.read_lock(tmp_path / "x.tsv")
