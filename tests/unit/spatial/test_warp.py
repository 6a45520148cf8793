"""Warping against array shifts, ramps, SciPy and SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from tenter.spatial import grids, warp


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def constant(shape: tuple[int, ...], *shift: float) -> torch.Tensor:
    return torch.tensor(shift).reshape(1, -1, *[1] * len(shape)).expand(1, -1, *shape).contiguous()


@pytest.mark.parametrize("shape", [(7, 6, 9), (7, 6), (1, 6, 5)])
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_no_displacement_changes_no_voxel(shape: tuple[int, ...], padding: warp.Padding) -> None:
    image = noise(2, 3, *shape)
    field = torch.zeros(2, len(shape), *shape)
    torch.testing.assert_close(warp.warp(image, field, padding=padding), image, rtol=0, atol=1e-5)


def test_no_displacement_keeps_labels_exactly() -> None:
    labels = (noise(1, 2, 7, 8, 5) * 5).round()
    assert torch.equal(warp.warp(labels, torch.zeros(1, 3, 7, 8, 5), mode="nearest"), labels)


def test_whole_voxels_shift_the_array() -> None:
    image = noise(1, 1, 8, 9, 7)
    warped = warp.warp(image, constant((8, 9, 7), 2.0, -1.0, 3.0))
    torch.testing.assert_close(warped[..., :6, 1:, :4], image[..., 2:, :8, 3:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ramp_is_read_between_voxels(axis: int) -> None:
    shape = (18, 18, 18)
    ramp = grids.identity(shape, dtype=torch.float32, device=torch.device("cpu"))[:, axis : axis + 1]
    shift = [0.0, 0.0, 0.0]
    shift[axis] = 0.37
    inner = warp.warp(ramp, constant(shape, *shift))[..., :17, :17, :17]
    torch.testing.assert_close(inner, ramp[..., :17, :17, :17] + 0.37, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [("border", [10.0, 10, 15, 35, 40, 40]), ("zeros", [8.0, 10, 15, 35, 40, 32])],
)
def test_beyond_the_edge(padding: warp.Padding, expected: list[float]) -> None:
    line = torch.tensor([10.0, 20, 30, 40]).reshape(1, 1, 4, 1, 1)
    coordinates = torch.zeros(1, 3, 6, 1, 1)
    coordinates[0, 0, :, 0, 0] = torch.tensor([-0.2, 0, 0.5, 2.5, 3, 3.2])
    values = warp.sample(line, coordinates, padding=padding)
    torch.testing.assert_close(values.flatten(), torch.tensor(expected))


def test_zeros_lie_beyond_an_axis_of_one_voxel() -> None:
    coordinates = torch.tensor([0.0, 0, 2]).reshape(1, 3, 1, 1, 1)
    assert warp.sample(torch.ones(1, 1, 3, 3, 1), coordinates, padding="zeros").item() == 0


def test_any_field_agrees_with_scipy() -> None:
    image, field = noise(1, 2, 8, 7, 6, dtype=torch.float64), 3 * noise(1, 3, 8, 7, 6, dtype=torch.float64)
    places = grids.identity((8, 7, 6), dtype=torch.float64, device=torch.device("cpu")) + field
    warped = warp.warp(image, field)
    for channel in range(2):
        expected = ndimage.map_coordinates(
            image[0, channel].numpy(), places[0].numpy(), order=1, mode="nearest"
        )
        np.testing.assert_allclose(warped[0, channel], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_any_field_agrees_with_itk(dtype: torch.dtype, tolerance: float) -> None:
    shape, spacing = (12, 10, 8), np.array([0.8, 1.1, 2.5])
    image = noise(1, 1, *shape, dtype=torch.float64)
    shift_mm = (noise(1, 3, *shape, seed=1, dtype=torch.float64) - 0.5) * 3
    voxels = shift_mm / torch.from_numpy(spacing).reshape(1, 3, 1, 1, 1)
    ours = warp.warp(image.to(dtype), voxels.to(dtype))[0, 0, 2:-2, 2:-2, 1:-1]

    fixed = sitk.GetImageFromArray(image[0, 0].numpy().transpose(2, 1, 0))
    moves = sitk.GetImageFromArray(shift_mm[0].permute(3, 2, 1, 0).numpy(), isVector=True)
    for item in (fixed, moves):
        item.SetSpacing(spacing.tolist())
        item.SetOrigin([5, -7, 11])
    resampled = sitk.Resample(fixed, fixed, sitk.DisplacementFieldTransform(moves), sitk.sitkLinear)
    theirs = sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)[2:-2, 2:-2, 1:-1]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


def test_gradients_are_right() -> None:
    image = noise(1, 2, 3, 3, 3, dtype=torch.float64).requires_grad_()
    field = (noise(1, 3, 3, 3, 3, seed=2, dtype=torch.float64) * 0.6 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(warp.warp, (image, field), eps=1e-6, atol=1e-5)
