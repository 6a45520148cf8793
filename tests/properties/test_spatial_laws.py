"""Laws of maps that hold for any grid, orientation and map drawn."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import strategies
from strategies import flips, orders, seeds
from tenter.shapes import Matrix
from tenter.spatial import affine, compose, geometry, invert, jacobian, smooth, warp
from tenter.spatial.transform import Transform

sizes = st.integers(1, 9)
shapes = st.one_of(st.tuples(sizes, sizes), st.tuples(sizes, sizes, sizes))
larger = st.tuples(*[st.integers(4, 9)] * 3)


def uniform(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def restored(
    image: Matrix, shape: tuple[int, ...], order: list[int], flip: tuple[bool, ...]
) -> Matrix:
    """The affine of the same voxels, stored with axes in another order and direction."""
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for new, old in enumerate(order):
        step[old, new] = -1 if flip[old] else 1
        step[old, 3] = shape[old] - 1 if flip[old] else 0
    stored: Matrix = image @ step
    return stored


@given(seeds, shapes, st.sampled_from(["border", "zeros"]))
@settings(max_examples=40, deadline=None)
def test_no_displacement_changes_nothing(
    seed: int, shape: tuple[int, ...], padding: warp.Padding
) -> None:
    image = uniform(seed, 1, 2, *shape)
    same = warp.warp(
        image, torch.zeros(1, len(shape), *shape, dtype=torch.float64), padding=padding
    )
    torch.testing.assert_close(same, image, rtol=0, atol=1e-12)


@given(seeds, shapes)
@settings(max_examples=40, deadline=None)
def test_warped_values_stay_between_the_extremes(seed: int, shape: tuple[int, ...]) -> None:
    image = uniform(seed, 1, 1, *shape)
    field = 20 * (uniform(seed + 1, 1, len(shape), *shape) - 0.5)
    warped = warp.warp(image, field)
    assert image.min() - 1e-12 <= warped.min()
    assert warped.max() <= image.max() + 1e-12


@given(seeds, larger)
@settings(max_examples=40, deadline=None)
def test_affine_maps_compose_as_matrices(seed: int, shape: tuple[int, int, int]) -> None:
    outer, shrunk = affine.corner_affine(0.3 * uniform(seed, 2, 4, 3))[:, None]
    # Half the size, so that no point leaves the grid.
    inner = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1], dtype=torch.float64)) @ shrunk
    composed = compose.compose(affine.displacement(outer, shape), affine.displacement(inner, shape))
    torch.testing.assert_close(
        composed, affine.displacement(outer @ inner, shape), rtol=0, atol=1e-10
    )


@given(seeds, larger)
@settings(max_examples=40, deadline=None)
def test_affine_maps_change_volume_by_their_determinant(
    seed: int, shape: tuple[int, int, int]
) -> None:
    matrix = affine.corner_affine(uniform(seed, 1, 4, 3))
    determinant = jacobian.determinant(affine.displacement(matrix, shape))
    torch.testing.assert_close(
        determinant, torch.linalg.det(matrix).expand_as(determinant), rtol=0, atol=1e-10
    )


@given(seeds, larger, st.floats(0.1, 6), st.sampled_from(["gaussian", "cauchy"]))
@settings(max_examples=40, deadline=None)
def test_smoothing_is_self_adjoint_and_makes_no_mass(
    seed: int, shape: tuple[int, int, int], sigma: float, kind: smooth.Kind
) -> None:
    one, other = uniform(seed, 1, 1, *shape), uniform(seed + 1, 1, 1, *shape)
    widths = (sigma, sigma / 2, 2 * sigma)
    left, right = smooth.smooth(one, widths, kind), smooth.smooth(other, widths, kind)
    torch.testing.assert_close((left * other).sum(), (one * right).sum())
    assert left.sum() <= one.sum() * (1 + 1e-12)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_map_after_its_inverse_is_identity(seed: int) -> None:
    field = smooth.smooth(uniform(seed, 1, 3, 12, 12, 12) - 0.5, (2.5, 2.5, 2.5))
    field = field / field.abs().max()
    inverse, residual = invert.invert(field)
    assert residual.max() < 1e-5
    assert compose.compose(field, inverse).abs().max() < 1e-5


@given(seeds, larger, orders, flips)
@settings(max_examples=60, deadline=None)
def test_case_grid_does_not_depend_on_how_the_image_is_stored(
    seed: int, shape: tuple[int, int, int], order: list[int], flip: tuple[bool, bool, bool]
) -> None:
    image = strategies.affine(seed)
    plan = ((8, 9, 7), (1.0, 1.5, 2.0))
    again = restored(image, shape, order, flip)
    permuted = tuple(shape[axis] for axis in order)
    one = geometry.canonical_grid(image, shape, *plan)
    np.testing.assert_allclose(
        geometry.canonical_grid(again, permuted, *plan), one, rtol=0, atol=1e-9
    )


@given(seeds, seeds, larger)
@settings(max_examples=40, deadline=None)
def test_points_and_voxels_agree_on_the_map(
    seed: int, other: int, shape: tuple[int, int, int]
) -> None:
    transform = Transform(
        strategies.affine(seed), 2 * uniform(seed, 1, 3, *shape) - 1, strategies.affine(seed + 1)
    )
    grid = strategies.affine(other)
    grid[:3, 3] = geometry.centre_mm(transform.affine, shape)
    moves = transform.displacement_mm(grid, (3, 4, 5))
    voxels = np.array([[0.0, 0, 0], [2, 3, 4], [1, 0, 3]])
    points = geometry.apply(grid, voxels)
    read = np.array([moves[(slice(None), *voxel)].numpy() for voxel in voxels.astype(int)])
    np.testing.assert_allclose(points + read, transform.map_points(points), rtol=0, atol=1e-8)


@given(seeds, seeds, larger)
@settings(max_examples=40, deadline=None)
def test_moving_coordinates_do_not_depend_on_the_worlds_place(
    seed: int, other: int, shape: tuple[int, int, int]
) -> None:
    transform, fixed, moving = (
        Transform(strategies.affine(seed), uniform(seed, 1, 3, *shape), strategies.affine(other)),
        strategies.affine(1),
        strategies.affine(2),
    )
    before = transform.coordinates(fixed, (3, 3, 3), moving)
    shift = geometry.translation((7.0, -30.0, 11.0))
    moved = Transform(
        transform.alignment @ np.linalg.inv(shift), transform.field, shift @ transform.affine
    )
    torch.testing.assert_close(
        moved.coordinates(shift @ fixed, (3, 3, 3), moving), before, rtol=0, atol=1e-8
    )


def folding_free(seed: int, largest_mm: float, voxels_of_smoothing: float) -> torch.Tensor:
    """A smooth field on a grid of 3 mm, in voxels."""
    shape, margin = (9, 8, 10), 16
    noise = uniform(seed, 1, 3, *(size + 2 * margin for size in shape)) - 0.5
    field = smooth.smooth(noise, (voxels_of_smoothing,) * 3)
    field = field[..., margin:-margin, margin:-margin, margin:-margin]
    field = field / field.abs().max() * largest_mm / 3
    while jacobian.non_diffeomorphic_voxels(field).item() > 0:
        field = 0.9 * field
    return field


def alignment(seed: int) -> Matrix:
    """An affine map of the world with shear, that mirrors nothing."""
    random = np.random.default_rng(seed)
    result = np.eye(4)
    result[:3, :3] = Rotation.random(rng=random).as_matrix() @ (
        np.eye(3) + random.uniform(-0.2, 0.2, (3, 3))
    )
    result[:3, 3] = random.uniform(-80, 80, 3)
    return result


def placed_at_3_mm(seed: int) -> Matrix:
    """A grid of any direction (either handedness) whose first axis has voxels of 3 mm,
    the others near it.
    """
    result = strategies.affine(seed)
    result[:3, :3] *= [3.0, 2.4, 3.0] / np.linalg.norm(result[:3, :3], axis=0)
    return result


def inner_points(transform: Transform, seed: int) -> np.ndarray:
    top = np.array(transform.field.shape[2:]) - 2
    return geometry.apply(transform.affine, np.random.default_rng(seed).uniform(1, top, (200, 3)))


@given(seeds, seeds, st.floats(0, 15), st.floats(2, 10))
@settings(max_examples=60, deadline=None)
def test_points_return_wherever_the_map_does_not_fold(
    seed: int, other: int, largest_mm: float, smoothness: float
) -> None:
    field = folding_free(seed, largest_mm, smoothness)
    transform = Transform(alignment(other), field, placed_at_3_mm(seed))
    points = inner_points(transform, seed)
    home, residual_mm = transform.inverse_points(transform.map_points(points))
    np.testing.assert_allclose(home, points, rtol=0, atol=1e-6)
    assert residual_mm.max() < 1e-6


@given(seeds, seeds, st.floats(0, 15), st.floats(8, 14))
@settings(max_examples=12, deadline=None)
def test_inverse_transform_takes_points_home(
    seed: int, other: int, largest_mm: float, smoothness: float
) -> None:
    field = folding_free(seed, largest_mm, smoothness)
    # Nearer to a fold, points lie closer together than the finest inverse grid can tell apart.
    assume(jacobian.determinant(field).min() > 0.5)
    transform = Transform(alignment(other), field, placed_at_3_mm(seed))
    inverse, residual_mm = transform.inverse()
    points = inner_points(transform, other)
    gaps = np.linalg.norm(inverse.map_points(transform.map_points(points)) - points, axis=1)
    assert gaps.max() < 0.05
    assert gaps.max() < 1.5 * residual_mm + 1e-4


@given(seeds, st.booleans())
@settings(max_examples=30, deadline=None)
def test_maps_that_mirror_turn_all_volume_inside_out_and_others_none(
    seed: int,
    mirrored: bool,  # noqa: FBT001 - drawn
) -> None:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] += 0.4 * (uniform(seed, 3, 3) - 0.5)
    if mirrored:
        matrix[:3, 0] *= -1
    field = affine.displacement(matrix[None], (5, 5, 5))
    turned = jacobian.non_diffeomorphic_volume(field).item()
    expected = max(-float(torch.linalg.det(matrix)), 0)
    np.testing.assert_allclose(turned, expected, rtol=1e-9, atol=1e-12)
