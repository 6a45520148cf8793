"""What tenter computes is what SimpleITK, SciPy, MONAI and label-reg compute, to 1e-6 or better.

Where definitions differ (ITK's border, MONAI's kernels that do not sum to 1) the common part
is compared. label-reg's formulas are written again here, in NumPy.

| of tenter                          | equals                               | within | where      |
|------------------------------------|--------------------------------------|--------|------------|
| `warp.warp`, linear                | SimpleITK's Resample by a field      | 1e-10  | O6         |
| `warp.warp`, linear and nearest    | SciPy's map_coordinates              | 1e-12  | here, unit |
| `warp.warp`, linear and nearest    | MONAI's Warp                         | 1e-6   | here       |
| `compose.compose`                  | SimpleITK's composite of two fields  | 1e-9   | here       |
| `integrate.integrate`              | MONAI's DVF2DDF                      | 1e-6   | here       |
| `affine.displacement`              | torch's affine_grid, SimpleITK's     | 1e-10  | here       |
| `smooth.smooth`, gaussian          | SciPy's gaussian_filter              | 1e-12  | here       |
| `smooth.smooth`, gaussian          | MONAI's separable filter (float32)   | 1e-6   | here       |
| `smooth.smooth`, cauchy            | SciPy's correlate1d                  | 1e-12  | unit       |
| `jacobian.determinant`             | NumPy's gradient and determinant     | 1e-10  | here       |
| `jacobian.determinant`             | SimpleITK's, but for its border      | 1e-6   | O10        |
| `Transform.map_points`             | SimpleITK's reading of the file      | 1e-9   | O26        |
| `resampling.on_grid`, same size    | SimpleITK's Resample                 | 1e-6   | unit       |
| `resampling.on_grid`, coarser grid | gaussian_filter, map_coordinates     | 1e-6   | here       |
| bending, gradient in voxels        | label-reg's formula                  | 1e-10  | here       |
| gradient l2 in voxels              | MONAI's DiffusionLoss                | 1e-6   | unit       |
| multi-scale label losses in voxels | label-reg's formulas                 | 1e-10  | here       |
| dice, jaccard at one scale         | MONAI's DiceLoss                     | 1e-6   | unit       |
| cross-entropy, mean squared        | torch's                              | 1e-6   | unit, here |
| metrics: Dice, centroid, Hausdorff | SimpleITK's                          | 1e-6   | O13, O17   |
| 95 % Hausdorff, mean surface       | MONAI's                              | 1e-6   | unit       |
| the table of metrics               | SimpleITK, SciPy, NumPy on the files | 1e-6   | O29        |

`O6` and the like are tests of `tests/oracles`; `unit` is the folder that mirrors the source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.networks.blocks.warp import DVF2DDF, Warp
from monai.networks.layers.convutils import gaussian_1d
from monai.networks.layers.simplelayers import separable_filtering
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from tenter import config, losses
from tenter.cases import resampling
from tenter.losses.bending import bending
from tenter.losses.gradient import gradient
from tenter.losses.mean_squared import mean_squared
from tenter.spatial import affine, compose, grids, integrate, jacobian, smooth, warp

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
SHAPE = (12, 11, 13)
SPACING = (0.8, 1.1, 2.5)
VOXELS = (1.0, 1.0, 1.0)
MONAI_WARNS = pytest.mark.filterwarnings("ignore:.*Using PyTorch native grid_sample:UserWarning")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def wavy(seed: int, largest: float = 2.0) -> Tensor:
    field = smooth.smooth(random(1, 3, *SHAPE, seed=seed) - 0.5, (2.0, 2.0, 2.0))
    return field * largest / field.abs().max()


@MONAI_WARNS
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_any_field_warps_as_in_monai(mode: warp.Mode, padding: warp.Padding) -> None:
    image, field = random(2, 2, *SHAPE), 6 * (random(2, 3, *SHAPE, seed=1) - 0.5)
    reference = Warp(mode="bilinear" if mode == "linear" else "nearest", padding_mode=padding)
    expected = reference(image, field)
    torch.testing.assert_close(
        warp.warp(image, field, mode=mode, padding=padding), expected, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_any_field_warps_as_in_scipy_zeros_beyond(mode: warp.Mode) -> None:
    image, field = random(1, 1, *SHAPE), 6 * (random(1, 3, *SHAPE, seed=1) - 0.5)
    places = grids.identity(SHAPE, dtype=torch.float64, device=torch.device("cpu")) + field
    # A margin of zeros, towards which our linear reading fades; SciPy would cut at the border.
    wide = np.pad(image[0, 0].numpy(), 6)
    order: Literal[0, 1] = 1 if mode == "linear" else 0
    expected = ndimage.map_coordinates(wide, places[0].numpy() + 6, order=order)
    found = warp.warp(image, field, mode=mode, padding="zeros")[0, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def itk_field(field: Tensor) -> sitk.DisplacementFieldTransform:
    """A field in voxels on a grid of unit voxels at the origin."""
    moves = sitk.GetImageFromArray(field[0].permute(3, 2, 1, 0).numpy(), isVector=True)
    return sitk.DisplacementFieldTransform(moves)


def test_maps_compose_as_in_simpleitk() -> None:
    outer, inner = wavy(1), wavy(2)
    composite = sitk.CompositeTransform([itk_field(outer), itk_field(inner)])
    total = compose.compose(outer, inner)
    for voxel in np.random.default_rng(0).integers(3, np.array(SHAPE) - 3, (60, 3)).tolist():
        expected = composite.TransformPoint([float(part) for part in voxel])
        found = np.array(voxel) + total[(0, slice(None), *voxel)].numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@MONAI_WARNS
@pytest.mark.parametrize("steps", [1, 4, 7])
def test_velocities_integrate_as_in_monai(steps: int) -> None:
    velocity = wavy(3, largest=3.0)
    expected = DVF2DDF(num_steps=steps, mode="bilinear", padding_mode="border")(velocity)
    torch.testing.assert_close(integrate.integrate(velocity, steps), expected, rtol=0, atol=1e-6)


def test_affine_maps_displace_as_torchs_affine_grid() -> None:
    matrix = affine.corner_affine(0.4 * random(2, 4, 3))
    # torch counts components from the last axis.
    backwards = matrix[:, :3][:, [2, 1, 0]][:, :, [2, 1, 0, 3]]
    to = (
        functional.affine_grid(backwards, [2, 1, *SHAPE], align_corners=True)
        .flip(-1)
        .movedim(-1, 1)
    )
    half = (torch.tensor(SHAPE, dtype=torch.float64).reshape(1, 3, 1, 1, 1) - 1) / 2
    start = grids.identity(SHAPE, dtype=torch.float64, device=torch.device("cpu"))
    torch.testing.assert_close(
        affine.displacement(matrix, SHAPE), (to + 1) * half - start, rtol=0, atol=1e-10
    )


def test_affine_maps_displace_as_simpleitks() -> None:
    matrix = affine.corner_affine(0.4 * random(1, 4, 3))
    half = (np.array(SHAPE) - 1) / 2
    reference = sitk.AffineTransform(3)
    reference.SetCenter(half.tolist())
    linear = half[:, None] * matrix[0, :3, :3].numpy() / half
    reference.SetMatrix(linear.ravel().tolist())
    reference.SetTranslation((half * matrix[0, :3, 3].numpy()).tolist())
    moves = sitk.TransformToDisplacementField(reference, sitk.sitkVectorFloat64, SHAPE)
    expected = sitk.GetArrayFromImage(moves).transpose(3, 2, 1, 0)
    np.testing.assert_allclose(affine.displacement(matrix, SHAPE)[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("sigma", [(1.0, 1.0, 1.0), (2.0, 0.7, 4.0), (8.0, 3.0, 1.5)])
def test_gaussian_smoothing_is_scipys(sigma: tuple[float, float, float]) -> None:
    volume = random(2, 2, *SHAPE)
    radius = tuple(int(3 * width) for width in sigma)
    expected = ndimage.gaussian_filter(
        volume.numpy(), sigma, mode="constant", radius=radius, axes=(2, 3, 4)
    )
    np.testing.assert_allclose(smooth.smooth(volume, sigma), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sigma", [(1.0, 1.0, 1.0), (2.0, 0.7, 4.0)])
def test_gaussian_smoothing_is_monais_where_its_kernel_sums_to_1(
    sigma: tuple[float, float, float],
) -> None:
    volume = random(2, 2, *SHAPE)
    kernels = [
        gaussian_1d(torch.tensor(width), 3.0, approx="sampled", normalize=True) for width in sigma
    ]
    assert [len(kernel) // 2 for kernel in kernels] == [int(3 * width) for width in sigma]
    expected = separable_filtering(volume, kernels, mode="zeros")
    torch.testing.assert_close(smooth.smooth(volume, sigma), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_determinants_are_numpys(dimensions: int) -> None:
    shape = SHAPE[:dimensions]
    field = 2 * random(1, dimensions, *shape)
    places = field[0].numpy() + np.indices(shape)
    inner = (slice(1, -1),) * dimensions
    slopes = [
        [np.gradient(component, axis=axis)[inner] for axis in range(dimensions)]
        for component in places
    ]
    expected = np.linalg.det(np.moveaxis(np.array(slopes), (0, 1), (-2, -1)))
    np.testing.assert_allclose(jacobian.determinant(field)[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("padding", "mode"), [("border", "nearest"), ("zeros", "constant")])
def test_resampling_on_a_coarser_grid_is_scipys(
    padding: warp.Padding, mode: Literal["nearest", "constant"]
) -> None:
    volume = random(1, *SHAPE).numpy().astype(np.float32)
    to_volume = np.array(
        [[2.4, 0.9, 0, 1.2], [-0.1, 1.8, 0.05, 2.3], [0, 0.1, 0.9, 1.1], [0, 0, 0, 1]]
    )
    # Each row: how far the grid's steps lead along an axis of the volume.
    widths = np.sqrt((to_volume[:3, :3] ** 2).sum(axis=1).clip(min=1) - 1)
    sigmas = (widths / (2 * np.sqrt(2 * np.log(2)))).tolist()
    assert sigmas[0] > sigmas[1] > 0
    smoothed = ndimage.gaussian_filter(
        volume[0].astype(np.float64),
        sigmas,
        mode=mode,
        radius=tuple(int(3 * width) for width in sigmas),
    )
    shape = (3, 4, 9)
    index = np.indices(shape).reshape(3, -1)
    places = to_volume[:3, :3] @ index + to_volume[:3, 3:]
    expected = ndimage.map_coordinates(smoothed, places, order=1, mode="nearest").reshape(shape)
    found = resampling.on_grid(volume, to_volume, shape, padding=padding)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def label_reg_differences(field: Array) -> list[Array]:
    """Central differences along x, y, z, one voxel of every border left out."""
    c = slice(1, -1)
    return [
        (field[:, :, 2:, c, c] - field[:, :, :-2, c, c]) / 2,
        (field[:, :, c, 2:, c] - field[:, :, c, :-2, c]) / 2,
        (field[:, :, c, c, 2:] - field[:, :, c, c, :-2]) / 2,
    ]


def label_reg_bending(field: Array) -> float:
    dx, dy, dz = label_reg_differences(field)
    dxx, dxy, dxz = label_reg_differences(dx)
    _, dyy, dyz = label_reg_differences(dy)
    dzz = label_reg_differences(dz)[2]
    return float(np.mean(dxx**2 + dyy**2 + dzz**2 + 2 * dxy**2 + 2 * dxz**2 + 2 * dyz**2))


def label_reg_gradient(field: Array, norm: str) -> float:
    return float(
        np.mean(
            sum(abs(part) if norm == "l1" else part**2 for part in label_reg_differences(field))
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_energies_in_voxels_are_label_regs(seed: int) -> None:
    field = 4 * random(2, 3, *SHAPE, seed=seed) - 2
    array = field.numpy()
    found = {
        name: losses.regulariser(
            config.Losses.model_validate({"regularisers": [chosen]}).regularisers[0], SPACING
        )
        for name, chosen in {
            "bending": {"name": "bending", "units": "voxel"},
            "l2": {"name": "gradient", "units": "voxel", "norm": "l2"},
            "l1": {"name": "gradient", "units": "voxel", "norm": "l1"},
        }.items()
    }
    assert found["bending"](field).item() == pytest.approx(label_reg_bending(array), rel=1e-10)
    for norm in ("l1", "l2"):
        assert found[norm](field).item() == pytest.approx(
            label_reg_gradient(array, norm), rel=1e-10
        )
    assert bending(field, VOXELS).item() == found["bending"](field).item()
    assert gradient(field, VOXELS, "l1").item() == found["l1"](field).item()


def label_reg_smoothed(label: Array, sigma: float, kernel: str) -> Array:
    """Three convolutions with a kernel that sums to 1; zeros beyond the border."""
    if sigma == 0:
        return label
    tail = int((3 if kernel == "gaussian" else 5) * sigma)
    x = np.arange(-tail, tail + 1)
    weights = np.exp(-0.5 * x**2 / sigma**2) if kernel == "gaussian" else 1 / ((x / sigma) ** 2 + 1)
    weights /= weights.sum()
    for axis in range(3):
        # numpy's `same` keeps the longer of the two: pad the line beyond the kernel.
        line = np.pad(label, [(tail, tail) if axis == other else (0, 0) for other in range(3)])
        label = np.apply_along_axis(
            lambda values: np.convolve(values, weights, mode="valid"), axis, line
        )
    return label


def label_reg_dice(t: Array, p: Array) -> float:
    return float(1 - 2 * np.sum(t * p) / (np.sum(t) + np.sum(p) + 1e-6))


def label_reg_jaccard(t: Array, p: Array) -> float:
    shared = np.sum(t * p)
    return float(1 - shared / (np.sum(t**2) + np.sum(p**2) - shared + 1e-6))


def label_reg_cross_entropy(t: Array, p: Array) -> float:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(np.mean(-t * np.log(p) - (1 - t) * np.log(1 - p)))


def label_reg_mean_squared(t: Array, p: Array) -> float:
    return float(np.mean((t - p) ** 2))


LABEL_REG: dict[str, Callable[[Array, Array], float]] = {
    "dice": label_reg_dice,
    "jaccard": label_reg_jaccard,
    "cross_entropy": label_reg_cross_entropy,
    "mean_squared": label_reg_mean_squared,
}


@pytest.mark.parametrize("kernel", ["gaussian", "cauchy"])
@pytest.mark.parametrize("name", LABEL_REG)
def test_multi_scale_losses_in_voxels_are_label_regs(name: str, kernel: str) -> None:
    scales = (0.0, 1.0, 2.0, 4.0)
    chosen = {"name": name, "scales_voxel": scales, "kernel": kernel}
    settings = config.Losses.model_validate({"labels": [chosen]}).labels[0]
    warped, fixed = random(2, 1, 1, *SHAPE)
    t, p = fixed[0, 0].numpy(), warped[0, 0].numpy()
    expected = np.mean(
        [
            LABEL_REG[name](
                label_reg_smoothed(t, sigma, kernel), label_reg_smoothed(p, sigma, kernel)
            )
            for sigma in scales
        ]
    )
    found = losses.label_loss(settings, SPACING)(
        warped, fixed, torch.ones(1, 1, dtype=torch.float64)
    )
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_mean_squared_is_torchs() -> None:
    warped, fixed = random(2, 2, 3, *SHAPE)
    expected = functional.mse_loss(warped, fixed, reduction="none").mean(dim=(2, 3, 4))
    torch.testing.assert_close(mean_squared(warped, fixed), expected, rtol=0, atol=1e-12)
