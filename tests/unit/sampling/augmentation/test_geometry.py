"""Deformations: one field for all maps of a side, and none of them folds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenter.config import Augmentation
from tenter.sampling.augmentation import geometry
from tenter.sampling.augmentation.random_streams import Source
from tenter.sampling.augmentation.recipe import Change, Ground, Lattice, draw_changes
from tenter.spatial import affine, bspline, compose, jacobian

CPU = torch.device("cpu")
SHAPE = (20, 18, 16)
SPACING = (2.0, 2.0, 3.0)
GROUND = Ground(batch=2, channels=(1, 1), shape=SHAPE, spacing_mm=SPACING)


def change(**chosen: object) -> Change:
    augmentation = Augmentation.model_validate({"affine": 0.0} | chosen)
    return draw_changes(Source.of(0, "0"), augmentation, GROUND, 0)[0]


BENT = change(deformation={"amplitude_mm": 4, "spacing_mm": 12})


def field(chosen: Change) -> torch.Tensor:
    found = geometry.displacement(chosen, SHAPE, CPU)
    assert found is not None
    return found


def test_without_a_change_there_is_no_field() -> None:
    assert geometry.displacement(Change(), SHAPE, CPU) is None


def test_a_deformation_is_the_spline_of_its_controls() -> None:
    assert BENT.controls is not None
    controls = torch.from_numpy(BENT.controls.values)
    expected = bspline.spline(controls, BENT.controls.spacing, SHAPE).float()
    assert torch.allclose(field(BENT), expected, atol=1e-5)


def test_all_maps_together_are_corners_after_pose_after_deformation() -> None:
    pose = {"rotation_deg": 8, "scale": 0.1, "shear": 0.1, "translation_mm": 3}
    drawn = change(affine=0.1, pose=pose, deformation={"amplitude_mm": 4, "spacing_mm": 12})
    assert drawn.corners is not None
    assert drawn.pose is not None
    outer = affine.displacement(affine.corner_affine(torch.from_numpy(drawn.corners)), SHAPE)
    middle = affine.displacement(torch.from_numpy(drawn.pose), SHAPE)
    expected = compose.compose(outer, compose.compose(middle, field(BENT).double()))
    inner = (
        slice(None),
        slice(None),
        *[slice(4, -4)] * 3,
    )  # compose takes maps beyond the grid as its border's
    assert torch.allclose(field(drawn)[inner].double(), expected[inner], atol=1e-4)


def test_a_rotation_turns_about_the_centre_in_mm() -> None:
    """A voxel on the third axis moves as far in mm as one on the first."""
    turn = np.eye(4)[None]
    half = (np.array(SHAPE) - 1) / 2 * SPACING
    angle = 0.2
    rotation = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    turn[0, :3, :3] = rotation * half / half[:, None]
    moved = field(Change(pose=turn))[0].numpy() * np.array(SPACING).reshape(3, 1, 1, 1)
    start = (np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2) * np.array(
        SPACING
    ).reshape(3, 1, 1, 1)
    expected = np.einsum("ij,jxyz->ixyz", rotation - np.eye(3), start)
    assert np.allclose(moved, expected, atol=1e-4)


def pressed(spacing: tuple[float, float, float]) -> np.ndarray:
    """Signs of controls that press everything onto the centre, from all sides."""
    points = bspline.lattice(SHAPE, spacing)
    return np.stack(
        [
            -np.sign(index - (size - 1) / 2 + 0.1)
            for index, size in zip(np.indices(points), points, strict=True)
        ]
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_deformation_that_is_allowed_does_not_fold(seed: int) -> None:
    spacing = (5.0, 6.0, 4.0)
    points = bspline.lattice(SHAPE, spacing)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (1, 3, *points))
    signs = pressed(spacing)[None] if seed == 0 else signs
    values = 0.4 * np.array(spacing).reshape(3, 1, 1, 1) * signs
    determinant = jacobian.determinant(field(Change(controls=Lattice(values, spacing))))
    assert float(determinant.min()) > 0


def test_beyond_what_is_allowed_it_may_fold() -> None:
    spacing = (5.0, 6.0, 4.0)
    values = 0.8 * np.array(spacing).reshape(3, 1, 1, 1) * pressed(spacing)[None]
    determinant = jacobian.determinant(field(Change(controls=Lattice(values, spacing))))
    assert float(determinant.min()) < 0
