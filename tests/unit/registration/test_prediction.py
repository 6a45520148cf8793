"""What members say together, and what test-time options make of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tenter import config, networks
from tenter.cases.case_files import Grid, PreparedImages
from tenter.errors import DataError
from tenter.registration import prediction
from tenter.registration.prediction import Prediction
from tenter.spatial import jacobian
from tenter.tensors import Field
from tenter.training.models import LoadedModel

SHAPE = (16, 18, 14)
SPACING = (2.0, 2.0, 2.5)
POSED = config.TestTime(poses=config.Poses(count=2, rotation_deg=15))
REFINED = config.TestTime(refine=config.Refine(steps=4, images=(config.SsdLoss(),)))


@pytest.fixture
def images() -> PreparedImages:
    """A case of smooth noise."""
    random = np.random.default_rng(0)
    sides = []
    for _ in range(2):
        values = random.normal(size=(1, *SHAPE)).astype(np.float32)
        for axis in (1, 2, 3):
            values = values + np.roll(values, 1, axis)
        sides.append(values)
    affine = np.diag([*SPACING, 1.0])
    grid = Grid(SHAPE, affine)
    return PreparedImages(
        affine=affine, alignment=np.eye(4), moving=sides[0], fixed=sides[1],
        moving_source=grid, fixed_source=grid,
    )  # fmt: skip


def member(seed: int, settings: config.Network, size: float = 0.1) -> LoadedModel:
    """A network of random weights, heads and all."""
    torch.manual_seed(seed)
    network = networks.build(settings, 2)
    for name, weight in network.named_parameters():
        if "head" in name and weight.ndim > 1:
            nn.init.normal_(weight, std=size)
    described = {"network": settings.model_dump(mode="json")}
    return LoadedModel(
        network.eval().requires_grad_(requires_grad=False), Path(), "0", str(seed), described
    )


def members(settings: config.Network, count: int = 3, size: float = 0.1) -> list[LoadedModel]:
    return [member(seed, settings, size) for seed in range(count)]


def unet(output: str = "displacement") -> config.UNetNetwork:
    return config.UNetNetwork.model_validate({"channels": 2, "depth": 1, "output": output})


def own(item: LoadedModel, images: PreparedImages) -> Field:
    field: torch.Tensor = item.network(
        *(torch.from_numpy(side)[None] for side in (images.moving, images.fixed))
    )
    return field


@pytest.mark.parametrize("output", ["displacement", "bspline"])
def test_displacements_are_averaged(images: PreparedImages, output: str) -> None:
    several = members(unet(output))
    found = prediction.predict(images, several)
    each = [own(item, images) for item in several]
    torch.testing.assert_close(found.field, (each[0] + each[1] + each[2]) / 3)
    for field, expected in zip(found.members, each, strict=True):
        torch.testing.assert_close(field, expected)
    assert found.test_time is None
    assert not torch.allclose(each[0], each[1], atol=1e-2)


@pytest.mark.parametrize(
    "settings", [unet("velocity"), config.LocalNetwork(channels=2, output="velocity")]
)
def test_velocities_are_averaged_and_integrated_once(
    images: PreparedImages, settings: config.Network
) -> None:
    several = members(settings, size=0.5)
    found = prediction.predict(images, several)
    sides = [torch.from_numpy(side)[None] for side in (images.moving, images.fixed)]
    velocities = [item.network.velocity(*sides) for item in several]  # type: ignore[operator]
    velocity = torch.stack(velocities).mean(0)
    expected = several[0].network.output.flow(velocity, SHAPE)  # type: ignore[operator,union-attr]
    torch.testing.assert_close(found.field, expected)
    for field, item in zip(found.members, several, strict=True):
        torch.testing.assert_close(field, own(item, images))
    mean = torch.stack(found.members).mean(0)
    assert float((found.field - mean).abs().max()) > 0.05


def test_velocities_of_opposite_members_leave_everything_where_it_is(
    images: PreparedImages,
) -> None:
    one, other = members(unet("velocity"), 2)
    weights = {name: value.clone() for name, value in one.network.state_dict().items()}
    weights |= {name: -value for name, value in weights.items() if "head" in name}
    other.network.load_state_dict(weights)
    found = prediction.predict(images, [one, other])
    assert float(found.members[0].abs().max()) > 0.3
    assert float(found.field.abs().max()) < 1e-4
    assert float(torch.stack(found.members).mean(0).abs().max()) > 0.01


def test_a_mean_velocity_does_not_fold(images: PreparedImages) -> None:
    found = prediction.predict(images, members(unet("velocity"), size=0.5))
    assert float(found.field.abs().max()) > 1
    assert float(jacobian.determinant(found.field).min()) > 0


@pytest.mark.parametrize(
    "other",
    [
        unet(),
        unet("velocity").model_copy(update={"squarings": 5}),
        config.CascadeNetwork(network=unet("velocity")),
    ],
)
def test_of_mixed_kinds_displacements_are_averaged(
    images: PreparedImages, other: config.Network
) -> None:
    mixed = [member(0, unet("velocity"), 0.5), member(1, other, 0.5)]
    found = prediction.predict(images, mixed)
    torch.testing.assert_close(found.field, torch.stack(found.members).mean(0))
    torch.testing.assert_close(found.members[0], own(mixed[0], images))


def test_one_member_says_what_its_network_says(images: PreparedImages) -> None:
    one = members(unet("velocity"), 1)
    found = prediction.predict(images, one)
    assert torch.equal(found.field, own(one[0], images))


def test_poses_average_displacements_whatever_the_network(images: PreparedImages) -> None:
    several = members(unet("velocity"), 2, 0.5)
    found = prediction.predict(images, several, POSED)
    each = [prediction.predict(images, [item], POSED).field for item in several]
    torch.testing.assert_close(found.field, (each[0] + each[1]) / 2)
    assert found.test_time == {"members": 2, "poses": 2, "refine": None}
    assert not torch.allclose(each[0], own(several[0], images), atol=1e-2)


def test_options_combine_and_say_what_they_did(images: PreparedImages) -> None:
    several = members(unet(), 2)
    both = config.TestTime(poses=POSED.poses, refine=REFINED.refine)
    posed, found = (prediction.predict(images, several, option) for option in (POSED, both))
    assert found.test_time is not None
    assert (
        found.test_time["members"],
        found.test_time["poses"],
        found.test_time["refine"]["steps"],
    ) == (2, 2, 4)
    assert found.test_time["refine"]["loss_after"] < found.test_time["refine"]["loss_before"]
    for field, expected in zip(found.members, posed.members, strict=True):
        assert torch.equal(field, expected)
    assert not torch.allclose(found.field, posed.field, atol=1e-2)


def test_an_answer_is_the_same_each_time(images: PreparedImages) -> None:
    both = config.TestTime(poses=POSED.poses, refine=REFINED.refine)
    one, other = (prediction.predict(images, members(unet(), 2), both) for _ in range(2))
    assert torch.equal(one.field, other.field)
    assert one.test_time == other.test_time


def test_a_loss_that_is_no_number_is_told_and_the_field_kept(images: PreparedImages) -> None:
    moving = images.moving.copy()
    moving[0, 3, 4, 5] = np.nan
    one = [still()]
    found = prediction.predict(replace(images, moving=moving), one, REFINED)
    assert found.test_time is not None
    assert found.test_time["refine"]["failed_at"] == 0
    assert (found.test_time["refine"]["loss_before"], found.test_time["refine"]["loss_after"]) == (
        None,
        None,
    )
    assert found.refinement_failure is not None
    assert "not finite at step 0; the network's own field is kept" in found.refinement_failure
    assert torch.equal(found.field, found.members[0])


class Still(nn.Module):
    """Says a constant displacement, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5), requires_grad=False)

    def forward(self, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        del moving
        return self.weight.expand(1, 3, *fixed.shape[2:])


def still() -> LoadedModel:
    return LoadedModel(Still(), Path(), "0", "s", {"network": {"name": "still"}})


def test_images_that_cannot_be_compared_are_refused(images: PreparedImages) -> None:
    two = replace(images, moving=np.concatenate([images.moving] * 2))
    with pytest.raises(
        DataError, match="`refine` cannot be done: moving images have 2 channels, fixed ones 1"
    ):
        prediction.predict(two, [still()], REFINED)


def test_a_field_that_is_no_number_is_refused(images: PreparedImages) -> None:
    broken = still()
    broken.network.weight.fill_(float("nan"))  # type: ignore[operator]
    for option in (None, POSED, REFINED):
        with pytest.raises(DataError, match="gives a field that is not finite"):
            prediction.predict(images, [broken], option)


def test_the_transform_holds_field_and_alignment(images: PreparedImages) -> None:
    found: Prediction = prediction.predict(images, [still()])
    transform = found.transform(images)
    assert torch.equal(transform.field, found.field)
    assert np.array_equal(transform.alignment, images.alignment)
    assert np.array_equal(transform.affine, images.affine)
