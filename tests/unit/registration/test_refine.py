"""One pair's own optimisation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tenter import config
from tenter.errors import DataError
from tenter.losses.objective import Pairs
from tenter.registration import refine
from tenter.spatial import bspline, compose, grids, smooth, warp

SHAPE = (20, 24, 18)
SPACING = (2.0, 1.5, 2.5)
SSD = (config.SsdLoss(),)


def settings(**changed: object) -> config.Refine:
    chosen = {
        "steps": 40,
        "learning_rate": 0.3,
        "spacing_mm": 10,
        "images": [{"name": "ssd"}],
        "regularisers": [],
    }
    return config.Refine.model_validate(chosen | changed)


def noise(seed: int, width: float = 2.0) -> Tensor:
    """A smooth image of about unit variance."""
    values = torch.randn((1, 1, *SHAPE), generator=torch.Generator().manual_seed(seed))
    values = smooth.smooth(values, (width,) * 3)
    return values / values.std()


def bent(seed: int, size_mm: float) -> Tensor:
    """A smooth displacement in voxels."""
    spacing = [14.0 / size for size in SPACING]
    controls = torch.rand(
        (1, 3, *bspline.lattice(SHAPE, spacing)), generator=torch.Generator().manual_seed(seed)
    )
    voxels = torch.tensor(SPACING).view(1, 3, 1, 1, 1)
    return bspline.spline(2 * size_mm * (controls - 0.5), spacing, SHAPE) / voxels


def shift(*voxels: float) -> Tensor:
    return (
        torch.tensor(voxels, dtype=torch.float32).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE).clone()
    )


def test_a_known_deformation_before_the_networks_map_is_found() -> None:
    moving, field, wanted = noise(0), shift(1.0, -0.5, 0.25), bent(1, 5)
    fixed = warp.warp(moving, compose.compose(field, wanted))
    found, said = refine.refined(field, moving, fixed, settings(steps=80), SPACING)
    inner = (..., *[slice(3, -3)] * 3)
    exact = compose.compose(field, wanted)
    before, after = ((item - exact).norm(dim=1)[inner].mean() for item in (field, found))
    assert after < 0.35 * before
    assert said["loss_after"] < 0.05 * said["loss_before"]
    assert (said["steps"], said["failed_at"]) == (80, None)
    assert 0 < said["best_step"] <= 80


def test_points_are_moved_by_the_spline_first_and_in_mm() -> None:
    ramp = grids.identity(SHAPE, dtype=torch.float32, device=torch.device("cpu"))[:, :1]
    field = torch.zeros(1, 3, *SHAPE)
    field[:, 0] = ramp[:, 0] - 4  # p -> 2 p - 4 along the first axis: doubles what moved before
    fixed = 2 * ramp + 3
    found, _ = refine.refined(field, ramp, fixed, settings(steps=1), SPACING)
    inside = (0, 0, slice(4, 9), slice(4, -4), slice(4, -4))
    # Adam's first step takes each control point by the learning rate: 0.3 mm, of voxels of 2 mm.
    moved = (found - field)[inside]
    torch.testing.assert_close(moved, torch.full_like(moved, 2 * 0.3 / 2), rtol=0, atol=1e-3)


def test_an_optimisation_that_makes_it_worse_changes_nothing() -> None:
    moving = noise(0)
    field = bent(2, 1)
    fixed = warp.warp(moving, field)
    found, said = refine.refined(field, moving, fixed, settings(steps=3, learning_rate=30), SPACING)
    assert found is field
    assert (said["best_step"], said["failed_at"]) == (0, None)
    assert said["loss_before"] == said["loss_after"] == pytest.approx(0, abs=1e-6)


def test_the_best_iterate_is_kept_not_the_last() -> None:
    moving = noise(0)
    fixed = warp.warp(moving, shift(0.4, 0, 0))
    coarse = settings(steps=20, learning_rate=2.0)
    found, said = refine.refined(shift(0, 0, 0), moving, fixed, coarse, SPACING)
    assert 0 < said["best_step"] < 20
    again, _ = refine.refined(
        shift(0, 0, 0),
        moving,
        fixed,
        coarse.model_copy(update={"steps": said["best_step"]}),
        SPACING,
    )
    assert torch.equal(found, again)


def test_regularisers_hold_it_back() -> None:
    moving, fixed = noise(0), noise(5)
    stiff = settings(regularisers=[{"name": "bending", "weight": 1e4}])
    free, held = (
        refine.refined(shift(0, 0, 0), moving, fixed, chosen, SPACING)[0]
        for chosen in (settings(), stiff)
    )
    bends = [field.diff(n=2, dim=2).abs().mean() for field in (free, held)]
    assert bends[1] < 0.2 * bends[0]


@pytest.mark.parametrize("name", ["ssd", "gncc", "lncc", "mutual_information", "mind"])
def test_every_image_term_refines(name: str) -> None:
    moving = noise(0)
    fixed = warp.warp(moving, bent(1, 3))
    chosen = settings(images=[{"name": name}], steps=6)
    _, said = refine.refined(shift(0, 0, 0), moving, fixed, chosen, SPACING)
    assert said["loss_after"] < said["loss_before"]


def test_it_works_on_what_was_made_in_inference_mode() -> None:
    moving = noise(0)
    with torch.inference_mode():
        field = shift(0.0, 0, 0)
        found, said = refine.refined(
            field, moving * 1, warp.warp(moving, shift(1.0, 0, 0)), settings(), SPACING
        )
    assert said["loss_after"] < 0.1 * said["loss_before"]
    assert not found.requires_grad


def test_a_gradient_that_is_no_number_keeps_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    moving, fixed = noise(0), noise(1)
    field = bent(2, 1)
    plain = compose.compose

    def broken(outer: Tensor, inner: Tensor) -> Tensor:
        # A root has no slope at nought, where the search begins.
        return plain(outer, inner) + 0 * inner.abs().sum().sqrt()

    monkeypatch.setattr(compose, "compose", broken)
    found, said = refine.refined(field, moving, fixed, settings(), SPACING)
    assert found is field
    assert (said["failed_at"], said["best_step"]) == (0, 0)
    assert said["loss_before"] == said["loss_after"]


def test_a_loss_that_breaks_on_the_way_keeps_the_networks_field() -> None:
    moving, fixed = noise(0), noise(1)
    moving[..., :3] = torch.nan  # a shift away from here meets it later
    inside = moving.isnan()
    moving = torch.where(inside, torch.tensor(1e38), moving)
    field = shift(0.0, 0, 0)
    found, said = refine.refined(field, moving, fixed, settings(), SPACING)
    assert said["failed_at"] is not None
    assert found is field


def test_a_grid_that_is_too_small_for_a_term_is_told() -> None:
    small = torch.randn(1, 1, 4, 6, 6)
    bending = settings(regularisers=[{"name": "bending"}])
    with pytest.raises(
        DataError, match="`refine` cannot be done: a grid of 4 x 6 x 6 voxels is too small"
    ):
        refine.refined(torch.zeros(1, 3, 4, 6, 6), small, small + 1, bending, SPACING)


def test_a_slice_is_refined_within_its_plane() -> None:
    flat = (slice(None), slice(None), slice(None), slice(None), slice(8, 9))
    moving = noise(0)[flat]
    wanted = bent(1, 3)[flat] * torch.tensor([1.0, 1, 0]).view(1, 3, 1, 1, 1)
    fixed = warp.warp(moving, wanted)
    still = torch.zeros_like(wanted)
    found, said = refine.refined(still, moving, fixed, settings(), SPACING)
    assert said["loss_after"] < 0.2 * said["loss_before"]
    assert not found[:, 2].any()


def test_losses_find_no_label_in_a_pair() -> None:
    pair = refine.Unlabelled(noise(0), noise(1))
    assert isinstance(pair, Pairs)
    assert pair.moving_labels.numel() == pair.fixed_labels.numel() == pair.present.numel() == 0
