from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tenter.cases import oblique, resampling, smoothing
from tenter.spatial import smooth
from tenter.spatial.warp import Padding

SHAPE = (12, 10, 8)
NOISE = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)


def scaling(factor: float, offset: float = 0.0) -> np.ndarray:
    matrix = np.diag([factor, factor, factor, 1.0])
    matrix[:3, 3] = offset
    return matrix


def test_the_same_grid_changes_nothing() -> None:
    assert np.array_equal(resampling.on_grid(NOISE, np.eye(4), SHAPE, padding="border"), NOISE)


def test_a_shift_of_whole_voxels_copies() -> None:
    read = resampling.on_grid(NOISE, scaling(1.0, 2.0), (8, 6, 4), padding="border")
    assert np.array_equal(read, NOISE[:, 2:10, 2:8, 2:6])


@settings(max_examples=30, deadline=None)
@given(
    factor=st.floats(0.4, 3.0),
    offset=st.floats(-0.9, 0.9),
    padding=st.sampled_from(["border", "zeros"]),
)
def test_a_ramp_stays_a_ramp_at_any_voxel_size(
    factor: float, offset: float, padding: Padding
) -> None:
    x, y, z = np.meshgrid(*[np.arange(40)] * 3, indexing="ij")
    ramp = (2 * x - y + 0.5 * z + 7).astype(np.float32)[None]
    start = 12 + offset
    read = resampling.on_grid(ramp, scaling(factor, start), (5, 5, 5), padding=padding)
    i, j, k = (start + factor * index for index in np.meshgrid(*[np.arange(5)] * 3, indexing="ij"))
    assert np.allclose(read[0], 2 * i - j + 0.5 * k + 7, atol=2e-4)


def test_reading_between_voxels_is_itks_linear_interpolation() -> None:
    matrix = np.array(
        [[0.7, 0.1, 0, 1.3], [-0.1, 0.6, 0.05, 2.2], [0, 0.1, 0.5, 1.1], [0, 0, 0, 1]]
    )
    shape = (6, 5, 4)
    read = resampling.on_grid(NOISE, matrix, shape, padding="border")[0]
    image = sitk.GetImageFromArray(NOISE[0].T.astype(np.float64))
    affine = sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    expected = sitk.Resample(image, shape, affine, sitk.sitkLinear, (0, 0, 0), (1, 1, 1))
    assert np.allclose(read, sitk.GetArrayFromImage(expected).T, atol=1e-6)


def test_the_prefilter_has_the_difference_of_the_variances() -> None:
    x, y, z = smoothing.sigmas(np.diag([2.0, 1.0, 0.5, 1.0]))
    assert x == pytest.approx(np.sqrt(3) / 2.354820)
    assert (y, z) == (0.0, 0.0)


def test_the_prefilter_follows_a_grid_whose_axes_are_exchanged() -> None:
    exchanged = np.eye(4)[:, [2, 0, 1, 3]] @ np.diag([3.0, 1.0, 1.0, 1.0])
    assert np.count_nonzero(smoothing.sigmas(exchanged)) == 1
    assert smoothing.sigmas(exchanged)[2] > 1


def test_a_pattern_finer_than_the_grid_averages_out() -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), 16)[None, :, None, None] * np.ones(
        (1, 1, 8, 8), np.float32
    )
    read = resampling.on_grid(stripes, scaling(4.0, 1.5), (7, 2, 2), padding="border")
    assert np.abs(read[0, 1:-1] - 0.5).max() < 0.01


def test_a_constant_stays_constant_up_to_and_beyond_the_border() -> None:
    constant = np.full((1, *SHAPE), 3.5, np.float32)
    read = resampling.on_grid(constant, scaling(2.5, -4.0), SHAPE, padding="border")
    assert np.allclose(read, 3.5, atol=1e-6)


def test_labels_end_with_their_volume() -> None:
    ones = np.ones((1, *SHAPE), np.float32)
    read = resampling.on_grid(ones, scaling(1.0, -3.0), (20, 20, 20), padding="zeros")[0]
    assert np.array_equal(np.argwhere(read > 1e-6)[[0, -1]], [[3, 3, 3], [14, 12, 10]])


@pytest.mark.parametrize("factor", [1.3, 2.0, 3.0])
def test_a_small_label_keeps_its_volume(factor: float) -> None:
    label = np.zeros((1, 40, 40, 40), np.float32)
    label[0, 18:21, 20:22, 19:22] = 1
    means, size = [], int(40 / factor)
    for offset in np.linspace(0, factor, 5, endpoint=False):
        read = resampling.on_grid(
            label, scaling(factor, offset), (size, size, size), padding="zeros"
        )
        means.append(read.sum(dtype=np.float64) * factor**3)
    assert np.mean(means) == pytest.approx(18, rel=0.03)
    assert np.allclose(means, 18, rtol=0.2)


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_a_slice_is_not_smoothed_across(padding: str) -> None:
    thin = NOISE[..., :1]
    thick = np.diag([1.0, 1.0, 5.0, 1.0])
    read = resampling.on_grid(thin, thick, (12, 10, 1), padding=padding)  # type: ignore[arg-type]
    assert np.array_equal(read, thin)


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_line_by_line_reads_what_point_by_point_reads(
    order: tuple[int, int, int],
    padding: Literal["border", "zeros"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resampling, "ROWS", 4)
    monkeypatch.setattr(oblique, "SLAB_VOXELS", 2 * 120)
    random = np.random.default_rng(sum(place * 3**axis for axis, place in enumerate(order)))
    volume, shape = (
        random.normal(size=(2, 21, 17, 26)).astype(np.float32),
        (9, 12, 10),
    )
    to_volume = np.eye(4)
    to_volume[:3, :3] = (
        np.eye(3)[list(order)] * random.choice([-1, 1], 3) * random.uniform(0.6, 2.7, 3)
    )
    middle = np.array(volume.shape[1:]) / 2 - to_volume[:3, :3] @ (np.array(shape) / 2)
    to_volume[:3, 3] = middle + random.uniform(-3, 3, 3)
    given = (volume, to_volume, shape, smoothing.sigmas(to_volume), padding)
    by_line = resampling.line_by_line(*given)
    by_point = oblique.read(*given)
    assert np.allclose(by_line, by_point, rtol=0, atol=1e-6)


def test_neither_rows_nor_slabs_change_a_digit_of_what_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    whole = [
        resampling.on_grid(NOISE, matrix, (9, 10, 8), padding="zeros")
        for matrix in (turned, np.eye(4))
    ]
    monkeypatch.setattr(resampling, "ROWS", 3)
    monkeypatch.setattr(oblique, "SLAB_VOXELS", 1)
    parts = [
        resampling.on_grid(NOISE, matrix, (9, 10, 8), padding="zeros")
        for matrix in (turned, np.eye(4))
    ]
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.7, 20.0, 2500.0])
def test_smoothing_with_continued_edges_is_scipys(sigma: float) -> None:
    line = np.random.default_rng(0).normal(size=24)
    read = smoothing.matrix(24, sigma, "border") @ line
    weights = smooth.kernel(sigma).numpy()
    expected = ndimage.correlate1d(line, weights, mode="nearest")
    np.testing.assert_allclose(read, expected, atol=1e-12)
