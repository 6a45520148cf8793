"""The weighted sum: which terms, for which pairs, under which names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from tenter import config, losses
from tenter.errors import TrainingError
from tenter.losses.objective import Objective
from tenter.spatial import planes, warp

SPACING = (2.0, 1.0, 4.0)
SPACE = (7, 8, 6)


@dataclass(frozen=True)
class Some:
    """Pairs with random images and labels."""

    moving: Tensor
    fixed: Tensor
    moving_labels: Tensor
    fixed_labels: Tensor
    present: Tensor
    structures: Tensor


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _pairs(present: list[list[bool]], structures: list[list[bool]] | None = None) -> Some:
    there = torch.tensor(present, dtype=torch.bool)
    moving, fixed = torch.rand(2, len(present), 1, *SPACE)
    moving_labels, fixed_labels = torch.rand(2, *there.shape, *SPACE) * there[..., None, None, None]
    kinds = torch.tensor(structures, dtype=torch.bool) if structures else torch.zeros_like(there)
    return Some(moving, fixed, moving_labels, fixed_labels, there, kinds)


def _part(pairs: Some, *chosen: int) -> Some:
    return Some(*(tensor[list(chosen)] for tensor in vars(pairs).values()))


def _field(count: int) -> Tensor:
    return 0.7 * torch.randn(count, 3, *SPACE)


def _objective(**terms: list[dict[str, Any]]) -> Objective:
    return Objective(config.Losses.model_validate(terms), SPACING)


def test_the_total_is_the_weighted_sum_of_all_terms() -> None:
    objective = _objective(
        labels=[{"name": "dice", "weight": 2}, {"name": "centroid", "weight": 0.3}],
        images=[{"name": "lncc", "weight": 5}, {"name": "mind", "weight": 7}],
        regularisers=[{"name": "bending", "weight": 11}, {"name": "folding", "weight": 13}],
    )
    found = {
        name: value.item() for name, value in objective(_field(2), _pairs([[True], [True]])).items()
    }
    weights = {"dice": 2, "centroid": 0.3, "lncc": 5, "mind": 7, "bending": 11, "folding": 13}
    assert objective.weights == weights
    assert tuple(found) == objective.columns
    expected = sum(weight * found[name] for name, weight in weights.items())
    assert found["loss"] == pytest.approx(expected, rel=1e-6)


def test_terms_are_those_of_the_warped_moving_side() -> None:
    objective = _objective(labels=[{"name": "jaccard"}], images=[{"name": "ssd"}], regularisers=[])
    field, pairs = _field(2), _pairs([[True, True], [True, True]])
    found = objective(field, pairs)
    labels = warp.warp(pairs.moving_labels, field, padding="zeros")
    images = warp.warp(pairs.moving, field, padding="border")
    jaccard = losses.label_loss(config.LabelLoss(name="jaccard"), SPACING)
    squares = (images - pairs.fixed).square()
    inside = warp.inside(field)
    torch.testing.assert_close(
        found["jaccard"], jaccard(labels, pairs.fixed_labels, torch.ones(2, 2))
    )
    torch.testing.assert_close(
        found["ssd"], torch.stack([squares[i][inside[i]].mean() for i in (0, 1)]).mean()
    )


def test_a_pair_without_labels_takes_part_in_image_terms_alone() -> None:
    objective = _objective(labels=[{"name": "dice"}], images=[{"name": "gncc"}], regularisers=[])
    field, pairs = _field(3), _pairs([[True, True], [False, False], [True, False]])
    found = objective(field, pairs)
    labelled = objective(field[[0, 2]], _part(pairs, 0, 2))
    bare = objective(field[[1]], _part(pairs, 1))
    torch.testing.assert_close(found["dice"], labelled["dice"])
    torch.testing.assert_close(found["gncc"], (2 * labelled["gncc"] + bare["gncc"]) / 3)
    assert bare["dice"].item() == 0


@pytest.mark.parametrize("slots", [0, 2])
def test_a_batch_without_any_label_still_teaches(slots: int) -> None:
    objective = _objective(
        labels=[{"name": "dice"}, {"name": "centroid"}], images=[{"name": "ssd"}]
    )
    field = _field(2).requires_grad_()
    found = objective(field, _pairs([[False] * slots] * 2))
    torch.autograd.backward(found["loss"])
    assert field.grad is not None
    assert field.grad.any()
    assert (found["dice"].item(), found["centroid"].item(), found["empty_labels"].item()) == (
        0,
        0,
        0,
    )


def test_roles_weigh_labels() -> None:
    pairs = _pairs([[True, True]], [[True, False]])
    field = _field(1)
    values = []
    for weights in ({"landmark": 0}, {"structure": 0}, {"structure": 3, "landmark": 5}):
        objective = _objective(labels=[{"name": "dice", "role_weights": weights}])
        values.append(objective(field, pairs)["dice"])
    torch.testing.assert_close(values[2], (3 * values[0] + 5 * values[1]) / 2)
    assert values[0] != values[1]


def test_by_default_centroids_are_landmarks() -> None:
    field, pairs = _field(1), _pairs([[True, True]], [[True, False]])
    default = _objective(labels=[{"name": "centroid"}])(field, pairs)["centroid"]
    landmark = Some(
        pairs.moving, pairs.fixed, *(labels[:, 1:] for labels in list(vars(pairs).values())[2:])
    )
    torch.testing.assert_close(
        default, _objective(labels=[{"name": "centroid"}])(field, landmark)["centroid"]
    )


def test_labels_that_hold_nothing_are_told_as_a_share() -> None:
    objective = _objective(labels=[{"name": "dice"}])
    pairs = _pairs([[True, True], [True, False]])
    pairs.fixed_labels[0, 0] = 0
    assert objective(torch.zeros(2, 3, *SPACE), pairs)["empty_labels"].item() == pytest.approx(
        1 / 3
    )
    assert objective(torch.full((2, 3, *SPACE), 99.0), pairs)["empty_labels"].item() == 1


@dataclass
class _Two:
    """Two processes one after the other: the first time it is asked, each is alone."""

    size: int = 2
    known: Tensor | None = None

    def total(self, numbers: Tensor) -> Tensor:
        return numbers if self.known is None else self.known


def test_parts_of_a_shared_batch_add_up_though_one_has_more_labels() -> None:
    terms = config.Losses.model_validate(
        {"labels": [{"name": "dice"}, {"name": "centroid"}], "images": [{"name": "ssd"}]}
    )
    pairs, field = _pairs([[True, True], [True, True], [False, False], [True, False]]), _field(4)
    counts = torch.tensor([5.0, 5.0, 5.0])  # of dice, of centroids, of all labels that are there
    parts, alone = (
        [
            Objective(terms, SPACING, two)(field[half], _part(pairs, *half))
            for half in ([0, 1], [2, 3])
        ]
        for two in (_Two(known=counts), _Two())
    )
    whole = Objective(terms, SPACING)(field, pairs)
    for name, value in whole.items():
        assert (parts[0][name] + parts[1][name]).item() == pytest.approx(value.item(), abs=1e-6)
    assert alone[0]["dice"].item() != pytest.approx(whole["dice"].item(), abs=1e-4)


def test_names_are_numbered_where_they_repeat() -> None:
    objective = _objective(
        labels=[{"name": "dice", "scales_mm": [0]}, {"name": "dice", "scales_mm": [4]}],
        regularisers=[
            {"name": "bending"},
            {"name": "gradient"},
            {"name": "bending", "units": "voxel"},
        ],
    )
    assert objective.columns == (
        "loss",
        "dice",
        "dice-2",
        "bending",
        "gradient",
        "bending-2",
        "empty_labels",
    )


def test_a_term_of_weight_0_is_told_but_changes_nothing() -> None:
    pairs, field = _pairs([[True], [True]]), _field(2)
    terms: list[dict[str, Any]] = [{"name": "dice", "weight": 0}, {"name": "jaccard"}]
    with_it, without = (
        _objective(labels=terms)(field, pairs),
        _objective(labels=terms[1:])(field, pairs),
    )
    assert with_it["loss"] == without["loss"]
    assert 0 < with_it["dice"].item() <= 1


def test_images_alone_can_be_compared() -> None:
    objective = _objective(labels=[], images=[{"name": "mutual_information"}])
    assert objective.columns == ("loss", "mutual_information", "bending")
    assert torch.isfinite(objective(_field(2), _pairs([[], []]))["loss"])


def test_inverse_consistency_takes_the_field_of_the_exchanged_images() -> None:
    objective = _objective(
        labels=[{"name": "dice"}], regularisers=[{"name": "inverse_consistency", "units": "voxel"}]
    )
    shift = torch.ones(1, 3, *SPACE)
    found = objective(shift, _pairs([[True]]), -0.5 * shift)
    assert objective.two_way
    assert found["inverse_consistency"].item() == pytest.approx(3 * 0.25)
    assert not _objective(labels=[{"name": "dice"}]).two_way


@pytest.mark.parametrize(
    "terms", [{"images": [{"name": "ssd"}]}, {"regularisers": [{"name": "inverse_consistency"}]}]
)
def test_images_of_other_channels_are_not_compared(terms: dict[str, list[dict[str, Any]]]) -> None:
    pairs = _pairs([[True]])
    unlike = Some(pairs.moving.repeat(1, 2, 1, 1, 1), *list(vars(pairs).values())[1:])
    name = next(iter(terms.values()))[0]["name"]
    with pytest.raises(TrainingError, match=f"moving images have 2 channels, fixed ones 1: {name}"):
        _objective(**terms)(_field(1), unlike)
    _objective(labels=[{"name": "dice"}])(_field(1), unlike)


def test_fields_of_half_the_images_may_leave_the_grid() -> None:
    objective = _objective(labels=[{"name": "dice"}], images=[{"name": "lncc"}, {"name": "mind"}])
    field = _field(2)
    field[0] += 50
    field.requires_grad_()
    found = objective(field, _pairs([[True], [True]]))
    torch.autograd.backward(found["loss"])
    assert torch.isfinite(found["loss"])
    assert field.grad is not None
    assert torch.isfinite(field.grad).all()


def test_pairs_of_two_dimensions_are_allowed() -> None:
    pairs = _pairs([[True, True]])
    flat = Some(
        *(tensor[..., 3] if tensor.ndim == 5 else tensor for tensor in vars(pairs).values())
    )
    terms = config.Losses.model_validate(
        {
            "labels": [{"name": "generalised_dice"}, {"name": "centroid"}],
            "images": [
                {"name": name} for name in ("ssd", "gncc", "lncc", "mutual_information", "mind")
            ],
            "regularisers": [
                {"name": name} for name in ("bending", "folding", "inverse_consistency")
            ],
        }
    )
    field = torch.randn(1, 2, *SPACE[:2])
    assert torch.isfinite(Objective(terms, SPACING[:2])(field, flat, -field)["loss"])


@pytest.mark.parametrize("axis", range(3))
def test_the_loss_of_slices_is_the_one_of_their_plane(axis: int) -> None:
    pairs = _pairs([[True, True]])
    flat = Some(
        *(tensor[..., 3] if tensor.ndim == 5 else tensor for tensor in vars(pairs).values())
    )
    thick = Some(
        *(
            tensor.unsqueeze(2 + axis) if tensor.ndim == 4 else tensor
            for tensor in vars(flat).values()
        )
    )
    terms = config.Losses.model_validate(
        {
            "labels": [{"name": "dice", "scales_mm": [0, 4]}, {"name": "centroid"}],
            "images": [{"name": name} for name in ("lncc", "mind")],
            "regularisers": [
                {"name": "bending", "units": "mm"},
                {"name": "folding"},
                {"name": "inverse_consistency"},
            ],
        }
    )
    spacing, plane = list(SPACING[:2]), torch.randn(1, 2, *SPACE[:2])
    spacing.insert(axis, 7.0)
    space = planes.to_space(plane, axis).requires_grad_()
    found = Objective(terms, spacing)(space, thick, -space)
    expected = Objective(terms, SPACING[:2])(plane, flat, -plane)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    (gradient,) = torch.autograd.grad(found["loss"], space)
    assert not gradient[:, axis].any()
