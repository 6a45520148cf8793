"""Flows whose end is known."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from tenter.spatial import compose, grids, integrate, jacobian, smooth


def test_constant_velocity_is_a_translation() -> None:
    velocity = torch.full((1, 3, 5, 5, 5), 0.75)
    torch.testing.assert_close(integrate.integrate(velocity), velocity)


def test_linear_velocity_flows_along_the_matrix_exponential() -> None:
    rate = torch.tensor([[0.0, -0.4], [0.4, 0.1]], dtype=torch.float64)
    centre = torch.tensor([20.0, 20.0], dtype=torch.float64)
    shape = (41, 41)
    velocity = grids.mapped(torch.cat([rate, -(rate @ centre)[:, None]], dim=1)[None], shape)
    flow = torch.from_numpy(expm(rate.numpy())) - torch.eye(2)
    expected = grids.mapped(torch.cat([flow, -(flow @ centre)[:, None]], dim=1)[None], shape)
    ours = integrate.integrate(velocity, steps=10)
    torch.testing.assert_close(
        ours[..., 14:27, 14:27], expected[..., 14:27, 14:27], rtol=0, atol=5e-3
    )


def test_flow_back_undoes_the_flow_and_nothing_folds() -> None:
    velocity = torch.randn(
        1, 3, 20, 20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    velocity = smooth.smooth(velocity, (5.0, 5.0, 5.0)) * 100
    there, back = integrate.integrate(velocity), integrate.integrate(-velocity)
    inner = compose.compose(there, back)[..., 5:-5, 5:-5, 5:-5]
    assert there.abs().max() > 1
    assert inner.abs().max() < 0.1
    assert (jacobian.determinant(there)[..., 4:-4, 4:-4, 4:-4] > 0).all()


def test_turning_velocity_flows_along_the_turn() -> None:
    turn = np.deg2rad(50) * np.array([1.0, -2, 2]) / 3
    rate = torch.from_numpy(np.cross(np.eye(3), turn))
    assert np.allclose(expm(rate.numpy()), Rotation.from_rotvec(-turn).as_matrix().T)
    shape, centre = (25, 25, 25), torch.full((3,), 12.0, dtype=torch.float64)
    velocity = grids.mapped(torch.cat([rate, -(rate @ centre)[:, None]], dim=1)[None], shape)
    flow = torch.from_numpy(expm(rate.numpy())) - torch.eye(3)
    expected = grids.mapped(torch.cat([flow, -(flow @ centre)[:, None]], dim=1)[None], shape)
    inner = (slice(None), slice(None), *[slice(8, 17)] * 3)
    ours = integrate.integrate(velocity, steps=10)
    torch.testing.assert_close(ours[inner], expected[inner], rtol=0, atol=0.02)
