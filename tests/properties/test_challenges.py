"""Laws of challenges' figures, and what storage does to them and not to the strict ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from strategies import masks, seeds
from tenter.metrics import learn2reg, muregpro, strict
from tenter.metrics.indices import IndexField, index_field, nearest
from tenter.metrics.measurands import WarpedLabel
from tenter.metrics.regions import Grid, Region, region
from tenter.metrics.surfels import robust_hausdorff
from tenter.metrics.survey import survey
from tenter.metrics.warped import Warper, piece
from tenter.shapes import Mask, Matrix
from tenter.spatial.transform import Transform
from tenter.statistics.muregpro_cohort import Cohort

SHAPE = (13, 12, 11)
AFFINE: Matrix = np.diag([0.8, 1.1, 1.6, 1.0])


def smooth(seed: int, size: float = 10.0) -> IndexField:
    noise = np.random.default_rng(seed).normal(size=(3, *SHAPE))
    return np.stack([ndimage.gaussian_filter(part, 2) * size for part in noise]).astype(np.float32)


def blob(seed: int, where: tuple[float, float, float] = (6, 6, 5)) -> NDArray[np.float64]:
    radius = np.random.default_rng(seed).uniform(2.2, 4.5)
    distance = np.sqrt(
        sum((axis - at) ** 2 for axis, at in zip(np.indices(SHAPE), where, strict=True))
    )
    return np.asarray(distance < radius, dtype=np.float64)


@given(seeds, st.floats(1, 200))
@settings(max_examples=20)
def test_learn2regs_spread_is_that_of_numpys_gradient_and_no_fold_is_found(
    seed: int, size: float
) -> None:
    field = smooth(seed, size)
    gradient = np.stack([np.stack(np.gradient(part.astype(np.float64))) for part in field])
    jacobian = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3))[2:-2, 2:-2, 2:-2]
    found = learn2reg.field_figures(field)
    expected = float(np.log(np.clip(jacobian + 3, 1e-9, 1e9)).std())
    assert found["learn2reg_sd_log_jacobian"] == pytest.approx(expected, abs=1e-6)
    assert found["learn2reg_foldings"] == 0


@given(seeds)
@settings(max_examples=20)
def test_learn2regs_dice_is_that_of_rounded_indices(seed: int) -> None:
    moving, fixed, field = blob(seed), blob(seed + 1), smooth(seed)
    places = np.indices(SHAPE) + field.astype(np.float64)
    limits = np.array(SHAPE).reshape(3, 1, 1, 1) - 1
    inside = ((places >= 0) & (places <= limits)).all(axis=0)
    i, j, k = np.clip(np.floor(places + 0.5).astype(int), 0, limits)
    warped = inside & (moving[i, j, k] == 1)
    carried = region(nearest(moving == 1, field))
    assume(carried is not None)
    assert carried is not None
    target = region(fixed == 1)
    assert target is not None
    expected = 2 * (warped & (fixed == 1)).sum() / (warped.sum() + fixed.sum())
    assert learn2reg.label_figures(carried, target)["learn2reg_dice"] == pytest.approx(
        expected, abs=1e-6
    )


@given(masks, masks, st.floats(0, 100))
@settings(max_examples=40)
def test_distances_by_area_are_symmetric_and_grow_with_their_share(
    first: Mask, second: Mask, percentile: float
) -> None:
    assume(first.any() and second.any())
    found = robust_hausdorff(first, second, percentile)
    assert found == robust_hausdorff(second, first, percentile)
    assert found <= robust_hausdorff(first, second, 100.0)
    assert robust_hausdorff(first, first, percentile) == 0


@given(masks, masks, st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([1, -1])] * 3))
@settings(max_examples=40)
def test_distances_by_area_do_not_depend_on_the_order_of_axes(
    first: Mask, second: Mask, axes: list[int], steps: tuple[int, int, int]
) -> None:
    assume(first.any() and second.any())
    turned = [
        mask[tuple(slice(None, None, step) for step in steps)].transpose(axes)
        for mask in (first, second)
    ]
    assert robust_hausdorff(turned[0], turned[1]) == pytest.approx(
        robust_hausdorff(first, second), abs=1e-9
    )


@given(seeds)
@settings(max_examples=20)
def test_muregpros_figures_are_those_of_arrays_in_five_dimensions(seed: int) -> None:
    fixed, field = blob(seed), smooth(seed)
    warped = muregpro.warped(blob(seed + 1), field)
    assume((warped > 0.5).any())
    sides = [side[None, ..., None] != 0 for side in (fixed, warped)]
    footprint = ndimage.generate_binary_structure(5, 1)
    borders = [side ^ ndimage.binary_erosion(side, structure=footprint) for side in sides]
    maps = [ndimage.distance_transform_edt(~border) for border in borders]
    pooled = np.hstack([maps[0][borders[1]], maps[1][borders[0]]])
    centroids = [np.argwhere(side > 0.5).mean(axis=0).astype(np.int64) for side in (fixed, warped)]
    expected = {
        "muregpro_dice": 2 * (fixed * warped).sum() / (fixed + warped).sum(),
        "muregpro_tre": np.abs(centroids[0] - centroids[1]).mean(),
        "muregpro_hd95": np.percentile(pooled, 95),
    }
    assert muregpro.figures(fixed, warped) == pytest.approx(expected, abs=1e-6)


@given(
    hnp.arrays(
        np.int64, st.tuples(st.integers(1, 9), st.integers(1, 6)), elements=st.integers(0, 30)
    )
)
@settings(max_examples=60)
def test_muregpros_cohort_is_that_of_its_description_in_integers(thirds: NDArray[np.int64]) -> None:
    """Integer arithmetic by integers: `//` is what TensorFlow's mean of int64 does."""
    whole = (thirds // 3)[:, (thirds // 3).any(axis=0) | thirds.any(axis=0)]
    assume(whole.shape[1] > 0)
    cases = [math.sqrt((case**2).sum() // case.size) for case in whole]
    best = [np.sort(case)[: round(0.68 * case.size)] for case in whole]
    found = Cohort(thirds / 3, thirds / 3).aggregates(whole=True)
    assert found["tre"] == pytest.approx(np.mean(cases))
    assert found["rtre"] == pytest.approx(np.mean(sorted(cases)[: round(0.68 * len(cases))]))
    assert found["rts"] == pytest.approx(np.mean([math.sqrt((b**2).sum() // b.size) for b in best]))


FLIPS = [(x, y, z) for x, y, z in itertools.product((1, -1), repeat=3) if -1 in {x, y, z}]


def stored(
    volume: NDArray[np.float64], flip: tuple[int, int, int]
) -> tuple[NDArray[np.float64], Matrix]:
    """A volume with some axes reversed, and its affine: the same values at the same places."""
    turn = np.diag([*map(float, flip), 1.0])
    turn[:3, 3] = [
        size - 1 if step < 0 else 0 for size, step in zip(volume.shape, flip, strict=True)
    ]
    return volume[tuple(slice(None, None, step) for step in flip)].copy(), AFFINE @ turn


def bent() -> Transform:
    """Folds in the middle, and is at rest at the borders."""
    field = torch.randn(
        1, 3, 9, 9, 9, generator=torch.Generator().manual_seed(4), dtype=torch.float64
    )
    field[:, :, [0, 1, -2, -1]] = field[:, :, :, [0, 1, -2, -1]] = field[
        :, :, :, :, [0, 1, -2, -1]
    ] = 0
    case = np.diag([1.2, 1.5, 1.9, 1.0])
    return Transform(np.eye(4), field, case)


def measured(
    flip: tuple[int, int, int], side: str
) -> tuple[dict[str, float | None], dict[str, float]]:
    """Strict figures and those of challenges, with one side stored in another way."""
    moving, fixed = blob(3, (5.3, 6.2, 5.1)), blob(8, (6, 5, 5))
    moving, moving_affine = stored(moving, flip if side == "moving" else (1, 1, 1))
    fixed, fixed_affine = stored(fixed, flip if side == "fixed" else (1, 1, 1))
    grid, transform = Grid(fixed_affine, SHAPE), bent()
    item = piece(moving, 0.5)
    assert item is not None
    found = survey(transform, grid, moving_affine, [item.own])
    (warped,) = Warper(transform, grid, moving_affine, 0.5).by_transform([item], found.landings)
    label = WarpedLabel.of(warped, Region(fixed > 0, (0, 0, 0)), fixed_affine)
    ours = strict.values("label", "structure", label)
    ours |= {"folded": float((found.determinants <= 0).sum()), "ndv": found.ndv_percent}
    field = index_field(transform, grid, moving_affine)
    theirs = learn2reg.field_figures(field) | muregpro.figures(
        fixed, muregpro.warped(moving, field)
    )
    return ours, theirs | muregpro.unregistered(fixed, moving)


@pytest.mark.parametrize("side", ["moving", "fixed"])
@pytest.mark.parametrize("flip", FLIPS)
def test_strict_figures_do_not_depend_on_storage(flip: tuple[int, int, int], side: str) -> None:
    plain, _ = measured((1, 1, 1), side)
    assert plain["folded"]
    assert measured(flip, side)[0] == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize(
    ("side", "changing"),
    [
        ("moving", {"learn2reg_sd_log_jacobian", "muregpro_unregistered_tre"}),
        ("fixed", {"learn2reg_sd_log_jacobian", "muregpro_unregistered_tre", "muregpro_tre"}),
    ],
)
def test_figures_of_challenges_depend_on_storage(side: str, changing: set[str]) -> None:
    """A mirrored array turns determinants round; centroids are cut towards the array's first
    voxel.
    """
    plain = measured((1, 1, 1), side)[1]
    others = [measured(flip, side)[1] for flip in FLIPS]
    changed = {
        name for name in plain if any(abs(other[name] - plain[name]) > 1e-3 for other in others)
    }
    assert changing <= changed
