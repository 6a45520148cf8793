"""O1-O6 and O19-O21: reading an image elsewhere, one map after another, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor
from torch.nn import functional

from tenter.spatial import compose, grids, invert, smooth, warp

CPU = torch.device("cpu")


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def constant(shape: tuple[int, ...], *shift: float) -> Tensor:
    return torch.tensor(shift).reshape(1, -1, *[1] * len(shape)).expand(1, -1, *shape).contiguous()


def wavy(seed: int, largest: float, width: float = 4.0) -> Tensor:
    """A smooth field whose largest component is as told, voxels."""
    generator = torch.Generator().manual_seed(seed)
    field = torch.randn(1, 3, 24, 24, 24, generator=generator, dtype=torch.float64)
    field = smooth.smooth(field, (width, width, width))
    return field * largest / field.abs().max()


def of_identity(shape: tuple[int, ...], padding: warp.Padding = "border") -> float:
    """The largest change of an image under no displacement."""
    image = noise(2, 3, *shape)
    field = torch.zeros(2, len(shape), *shape)
    return float((warp.warp(image, field, padding=padding) - image).abs().max())


@pytest.mark.parametrize("shape", [(7, 6, 9), (7, 6), (1, 6, 5)])
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_o01_no_displacement_changes_no_voxel(
    shape: tuple[int, ...], padding: warp.Padding
) -> None:
    assert of_identity(shape, padding) < 1e-5


def test_o02_no_displacement_keeps_labels_exactly() -> None:
    labels = (noise(1, 2, 7, 8, 5) * 5).round()
    assert torch.equal(warp.warp(labels, torch.zeros(1, 3, 7, 8, 5), mode="nearest"), labels)


def test_o03_o01_notices_a_sampler_that_reckons_edges_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = functional.grid_sample

    def mixed(
        image: Tensor, grid: Tensor, *, mode: str, padding_mode: str, align_corners: bool
    ) -> Tensor:
        return plain(image, grid, mode, padding_mode, align_corners=not align_corners)

    monkeypatch.setattr(functional, "grid_sample", mixed)
    assert of_identity((7, 6, 9)) > 0.1


def test_o04_whole_voxels_shift_the_array() -> None:
    image = noise(1, 1, 8, 9, 7)
    warped = warp.warp(image, constant((8, 9, 7), 2.0, -1.0, 3.0))
    torch.testing.assert_close(warped[..., :6, 1:, :4], image[..., 2:, :8, 3:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_o05_a_ramp_is_read_between_voxels(axis: int) -> None:
    shape = (18, 18, 18)
    ramp = grids.identity(shape, dtype=torch.float32, device=CPU)[:, axis : axis + 1]
    shift = [0.0, 0.0, 0.0]
    shift[axis] = 0.37
    inner = warp.warp(ramp, constant(shape, *shift))[..., :17, :17, :17]
    torch.testing.assert_close(inner, ramp[..., :17, :17, :17] + 0.37, rtol=0, atol=1e-4)


@pytest.mark.parametrize("direction", [(1, 1, 1), (-1, -1, 1)], ids=["identity", "flipped"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_o06_warp_equals_simpleitk(
    dtype: torch.dtype, tolerance: float, direction: tuple[int, int, int]
) -> None:
    shape, spacing = (12, 10, 8), np.array([0.8, 1.1, 2.5])
    image = noise(1, 1, *shape, dtype=torch.float64)
    shift_mm = (noise(1, 3, *shape, seed=1, dtype=torch.float64) - 0.5) * 3
    # A voxel's step along an axis leads `direction` times its size into the world.
    voxels = shift_mm / torch.from_numpy(spacing * direction).reshape(1, 3, 1, 1, 1)
    ours = warp.warp(image.to(dtype), voxels.to(dtype))[0, 0]

    fixed = sitk.GetImageFromArray(image[0, 0].numpy().transpose(2, 1, 0))
    moves = sitk.GetImageFromArray(shift_mm[0].permute(3, 2, 1, 0).numpy(), isVector=True)
    for item in (fixed, moves):
        item.SetSpacing(spacing.tolist())
        item.SetOrigin([5, -7, 11])
        item.SetDirection(np.diag(direction).astype(float).ravel().tolist())
    resampled = sitk.Resample(fixed, fixed, sitk.DisplacementFieldTransform(moves), sitk.sitkLinear)
    theirs = sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)
    places = grids.identity(shape, dtype=torch.float64, device=CPU) + voxels
    inside = (
        ((places > 0) & (places < torch.tensor(shape).reshape(1, 3, 1, 1, 1) - 1))
        .all(dim=1)[0]
        .numpy()
    )
    assert inside.mean() > 0.5
    np.testing.assert_allclose(ours.numpy()[inside], theirs[inside], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("largest", "mean_error", "largest_error"),
    [(2, 5e-3, 3e-2), (1, 3e-3, 2e-2), (0.5, 1.5e-3, 1.2e-2)],
)
def test_o19_one_warp_equals_two_but_for_blur(
    largest: float, mean_error: float, largest_error: float
) -> None:
    image = smooth.smooth(noise(1, 1, 24, 24, 24, seed=9, dtype=torch.float64), (2.0, 2.0, 2.0))
    image = (image - image.min()) / (image.max() - image.min())
    outer, inner = wavy(1, largest), wavy(2, largest)
    twice = warp.warp(warp.warp(image, outer), inner)
    once = warp.warp(image, compose.compose(outer, inner))
    error = (twice - once)[..., 4:-4, 4:-4, 4:-4].abs()
    assert error.mean() < mean_error
    assert error.max() < largest_error


def test_o20_the_map_after_its_inverse_is_identity() -> None:
    field = wavy(4, 2, width=6.0)
    inverse, residual = invert.invert(field)
    assert residual.max() < 1e-8
    assert compose.compose(field, inverse).abs().max() < 1e-8


def test_o20_the_inverse_after_the_map_is_nearly_identity() -> None:
    field = wavy(4, 2, width=6.0)
    inverse, _ = invert.invert(field)
    assert compose.compose(inverse, field)[..., 3:-3, 3:-3, 3:-3].abs().max() < 0.05


def test_o21_gradients_of_the_warp_are_right() -> None:
    image = noise(1, 2, 3, 3, 3, dtype=torch.float64).requires_grad_()
    field = (noise(1, 3, 3, 3, 3, seed=2, dtype=torch.float64) * 0.6 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(warp.warp, (image, field), eps=1e-6, atol=1e-5)
