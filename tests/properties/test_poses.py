"""A network that turns with its images says the same of a pair however it is posed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import Tensor

from strategies import seeds
from tenter import config
from tenter.registration import poses
from tenter.shapes import Matrix
from tenter.spatial import grids

SHAPE = (20, 22, 18)
SPACING = (2.0, 1.5, 2.5)
POSES = config.Poses(count=3, rotation_deg=25, scale=0.2, shear=0.1, translation_mm=5)
CLOSE = 0.03
"""Voxels: what linear interpolation of the bent maps below may cost."""


@dataclass(frozen=True)
class Truth:
    """A smooth map of voxels: affine, and bent by a sine along each axis."""

    matrix: Matrix
    bend: float

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Where `[3, ...]` fixed places lie in the moving image."""
        moved = np.tensordot(self.matrix[:3, :3], places, 1) + self.matrix[:3, 3].reshape(
            3, 1, 1, 1
        )
        found: np.ndarray = moved + self.bend * np.sin(2 * np.pi * places[[1, 2, 0]] / 24)
        return found


def truth(seed: int, bend: float) -> Truth:
    random = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] += random.uniform(-0.15, 0.15, (3, 3))
    matrix[:3, 3] = random.uniform(-2, 2, 3)
    return Truth(matrix, bend)


def grid() -> np.ndarray:
    return grids.identity(SHAPE, dtype=torch.float64, device=torch.device("cpu"))[0].numpy()


def places() -> Tensor:
    """An image whose voxels say where they are; a network reads from it how it is posed."""
    return torch.from_numpy(grid())[None]


def pose_of(image: Tensor) -> Matrix:
    """The affine map by which an image of places was posed; beyond its border it says nothing."""
    matrix = np.eye(4)
    start = np.concatenate([grid().reshape(3, -1), np.ones((1, grid()[0].size))])
    for axis, (values, size) in enumerate(zip(image[0].numpy(), SHAPE, strict=True)):
        seen = ((values > 1e-6) & (values < size - 1 - 1e-6)).ravel()
        matrix[axis] = np.linalg.lstsq(start[:, seen].T, values.ravel()[seen], rcond=None)[0]
    return matrix


@dataclass
class Equivariant:
    """A network that knows the truth about a pair, and is shown it under poses."""

    truth: Truth

    def __call__(self, moving: Tensor, fixed: Tensor) -> Tensor:
        assert len(moving) == len(fixed) == 1
        of_moving, of_fixed = pose_of(moving), pose_of(fixed)
        seen = mapped(of_fixed, grid())
        moved = mapped(np.linalg.inv(of_moving), self.truth(seen))
        return torch.from_numpy(moved - grid())[None]


def mapped(matrix: Matrix, at: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.tensordot(matrix[:3, :3], at, 1) + matrix[:3, 3].reshape(3, 1, 1, 1)
    return found


def covered(of_fixed: Matrix) -> np.ndarray:
    """Voxels that a posed fixed image shows: the network speaks of no others."""
    seen = mapped(np.linalg.inv(of_fixed), grid())
    sizes = np.array(SHAPE).reshape(3, 1, 1, 1)
    return np.asarray(((seen >= 0) & (seen <= sizes - 1)).all(axis=0))


def far(field: Tensor, exact: Truth, where: np.ndarray) -> float:
    """Largest distance of a field's map from the truth, voxels, of some places."""
    wrong = np.linalg.norm(field[0].numpy() + grid() - exact(grid()), axis=0)
    return float(wrong[where].max())


@given(seed=seeds, bend=some.sampled_from([0.0, 0.3]))
@settings(max_examples=15, deadline=None)
def test_the_average_over_poses_is_the_plain_field(seed: int, bend: float) -> None:
    exact = truth(seed, bend)
    found = poses.averaged(Equivariant(exact), places(), places(), POSES, SPACING)
    shown = np.all(
        [covered(of_fixed) for _, of_fixed in poses.drawn(POSES, SHAPE, SPACING)], axis=0
    )
    assert shown.mean() > 0.2
    assert found.dtype == torch.float32
    assert far(found, exact, shown) < (CLOSE if bend else 1e-3)


@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_maps_put_together_in_another_order_are_seen(seed: int) -> None:
    exact = truth(seed, 0.3)
    network = Equivariant(exact)
    for placed in poses.drawn(POSES, SHAPE, SPACING):
        right = poses.answer(network, places(), places(), placed)
        assert far(right, exact, covered(placed[1])) < CLOSE
        for wrong in (
            placed[::-1],
            (np.linalg.inv(placed[0]), placed[1]),
            (placed[0], np.linalg.inv(placed[1])),
        ):
            # What the network sees stays as it is; what is made of its answer does not.
            blind = remembering(network, placed)
            mistaken = poses.answer(blind, places(), places(), wrong)
            assert far(mistaken, exact, covered(placed[1]) & covered(wrong[1])) > 10 * CLOSE


def remembering(network: Equivariant, placed: tuple[Matrix, Matrix]) -> poses.Network:
    """A network that answers for one pair of poses, whatever it is shown."""
    seen = [torch.from_numpy(mapped(matrix, grid()))[None] for matrix in placed]
    return lambda _moving, _fixed: network(*seen)


def test_poses_are_the_same_for_every_pair_and_begin_alike() -> None:
    few, many = (
        poses.drawn(POSES.model_copy(update={"count": count}), SHAPE, SPACING) for count in (2, 5)
    )
    for one, other in zip(few, many, strict=False):
        for side in range(2):
            assert np.array_equal(one[side], other[side])
    assert len(many) == 5
    assert not np.allclose(many[0][0], many[0][1])


def test_slices_are_posed_within_their_plane() -> None:
    for placed in poses.drawn(POSES, (20, 1, 18), SPACING):
        for matrix in placed:
            np.testing.assert_allclose(matrix[1], [0, 1, 0, 0], atol=1e-12)
            np.testing.assert_allclose(matrix[:3, 1], [0, 1, 0], atol=1e-12)


def test_a_pose_turns_about_the_middle_of_the_grid() -> None:
    turned = config.Poses(count=4, rotation_deg=30)
    middle = (np.array(SHAPE) - 1) / 2
    for placed in poses.drawn(turned, SHAPE, SPACING):
        for matrix in placed:
            np.testing.assert_allclose(matrix[:3, :3] @ middle + matrix[:3, 3], middle, atol=1e-9)
            in_mm = matrix[:3, :3] * np.reshape(SPACING, (3, 1)) / SPACING
            np.testing.assert_allclose(in_mm @ in_mm.T, np.eye(3), atol=1e-9)
