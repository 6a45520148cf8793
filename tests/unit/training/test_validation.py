"""Who is set aside, and what is measured on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as some
from scipy import ndimage
from torch import Tensor, nn

from builders.training_cases import SHAPE, SPACING, ball, case, settings
from tenter.folds import Split, set_aside
from tenter.sampling.cohort import Case
from tenter.tensors import Image
from tenter.training.interruption import Stop
from tenter.training.validation import centroid_distance_mm, dice, measure

IDS = some.text("abcdefgh", min_size=1, max_size=2)
PAIRS = some.dictionaries(
    some.text("xyz", min_size=1, max_size=4), some.lists(IDS, min_size=1, max_size=2)
)


class Shift(nn.Module):
    """A network that moves everything by the same vector, in voxels."""

    def __init__(self, *shift: float) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, moving: Image, fixed: Image) -> Tensor:
        del moving
        return self.shift.reshape(1, 3, 1, 1, 1).expand(1, 3, *fixed.shape[2:])


@given(pairs=PAIRS, fraction=some.floats(0.0, 0.99), seed=some.integers(0, 99))
@options(max_examples=100, deadline=None)
def test_no_patient_is_on_both_sides(
    pairs: dict[str, list[str]], fraction: float, seed: int
) -> None:
    split = set_aside(pairs, fraction, seed=seed, fold="0")
    learnt, watched = (
        {name for pair in part for name in pairs[pair]}
        for part in (split.training, split.validation)
    )
    assert learnt.isdisjoint(watched)
    assert sorted([*split.training, *split.validation, *split.left_out]) == sorted(pairs)
    assert split.training or not pairs


def test_a_tenth_of_the_patients_is_set_aside() -> None:
    pairs = {f"p{index}": [f"patient{index // 2}"] for index in range(80)}
    split = set_aside(pairs, 0.1, seed=0, fold="0")
    assert len({pairs[pair][0] for pair in split.validation}) == 4
    assert len(split.validation) == 8


def test_who_is_set_aside_stays_put_as_the_cohort_grows() -> None:
    pairs = {f"p{index}": [f"patient{index}"] for index in range(40)}
    before = set(set_aside(pairs, 0.1, seed=0, fold="0").validation)
    after = set(set_aside(pairs | {"new": ["somebody"]}, 0.1, seed=0, fold="0").validation)
    assert len(before - after) <= 1


def test_folds_and_seeds_set_others_aside() -> None:
    pairs = {f"p{index}": [f"patient{index}"] for index in range(40)}
    chosen = {
        set_aside(pairs, 0.1, seed=seed, fold=fold) for seed, fold in ((0, "0"), (1, "0"), (0, "1"))
    }
    assert len(chosen) == 3


def test_pairs_of_a_watched_and_a_learnt_patient_are_left_out() -> None:
    patients = ["a", "b", "c", "d"]
    pairs = {one + other: [one, other] for one in patients for other in patients if one < other}
    split = set_aside(pairs, 0.1, seed=0, fold="0")
    assert [len(split.training), len(split.validation), len(split.left_out)] == [1, 1, 4]


def test_nobody_is_set_aside_where_nobody_would_be_left() -> None:
    assert set_aside({"p": ["a"], "q": ["a"]}, 0.5, seed=0, fold="0") == Split(("p", "q"))


def test_dice_of_shifted_cubes_by_hand() -> None:
    fixed, moved = torch.zeros(1, 1, 12, 12, 12), torch.zeros(1, 1, 12, 12, 12)
    fixed[..., 1:11, 1:11, 1:11] = 1
    moved[..., 1:11, 1:11, 2:12] = 1
    assert dice(fixed, moved).tolist() == pytest.approx([0.9])


def test_centroid_distances_are_mm_and_agree_with_scipy() -> None:
    moving, fixed = ball((5.0, 6.5, 4.0), 2.0), ball((4.0, 5.0, 3.5), 2.0)
    shift = np.array(ndimage.center_of_mass(moving.numpy())) - ndimage.center_of_mass(fixed.numpy())
    spacing = (0.8, 1.1, 2.5)
    found = centroid_distance_mm(
        moving[None, None], fixed[None, None], torch.zeros(1, 3, *SHAPE), spacing
    )
    assert float(found[0]) == pytest.approx(float(np.linalg.norm(shift * spacing)), abs=1e-6)


def aligned(shift: tuple[float, float, float]) -> Case:
    """A pair whose moving side is its fixed side, moved."""
    made = case("p0")
    boxes = []
    for _, fixed in made.boxes:
        full = torch.zeros(SHAPE, dtype=torch.uint8)
        full.copy_(fixed.values)
        moving = torch.roll(full, tuple(int(part) for part in shift), dims=(0, 1, 2))
        boxes.append((type(fixed)((0, 0, 0), moving), fixed))
    return Case("p0", ("a",), made.images, made.labels, tuple(boxes))


def test_a_field_that_undoes_the_shift_has_no_error() -> None:
    found = measure(Shift(1.0, -1.0, 0.0), [aligned((1, -1, 0))], settings(), SPACING)
    assert found is not None
    assert found["val_tre_mm"] == pytest.approx(0, abs=1e-4)
    assert found["val_dice"] == pytest.approx(1)


def test_no_field_leaves_the_shift_as_error() -> None:
    found = measure(Shift(0.0, 0.0, 0.0), [aligned((1, -1, 0))], settings(), SPACING)
    assert found is not None
    assert found["val_tre_mm"] == pytest.approx(2 * 2**0.5, abs=1e-4)
    assert found["val_soft_dice"] < found["val_dice"] + 0.2 < 1.1


def test_measuring_leaves_the_network_in_training() -> None:
    network = Shift(0.0, 0.0, 0.0).train()
    measure(network, [aligned((0, 0, 0))], settings(), SPACING)
    assert network.training


def test_a_stop_breaks_the_look_off() -> None:
    assert (
        measure(Shift(0.0, 0.0, 0.0), [aligned((0, 0, 0))], settings(), SPACING, Stop(143)) is None
    )


def test_a_kind_of_label_that_nobody_has_is_not_measured() -> None:
    found = measure(Shift(0.0, 0.0, 0.0), [case("p", roles=("landmark",))], settings(), SPACING)
    assert found is not None
    assert set(found) == {"val_tre_mm"}
