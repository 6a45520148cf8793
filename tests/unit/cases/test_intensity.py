from __future__ import annotations

import numpy as np
import pytest

from tenter.cases.intensity import normalised
from tenter.errors import DataError

NOISE = np.random.default_rng(0).normal(300, 40, (2, 8, 7, 6)).astype(np.float32)


def test_zscore_gives_each_channel_mean_0_and_deviation_1() -> None:
    found = normalised(NOISE * np.array([1, 9], np.float32)[:, None, None, None], "zscore", "a.nii")
    assert np.allclose(found.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    assert np.allclose(found.std(axis=(1, 2, 3)), 1, atol=1e-5)


def test_minmax_spans_0_to_1() -> None:
    found = normalised(NOISE, "minmax", "a.nii")
    assert [found.min(), found.max()] == [0.0, 1.0]
    low, high = NOISE[0].min(), NOISE[0].max()
    assert np.allclose(found[0], (NOISE[0] - low) / (high - low), atol=1e-6)


def test_percentile_ignores_a_bright_voxel() -> None:
    bright = NOISE.copy()
    bright[0, 0, 0, 0] = 1e6
    found, plain = (normalised(image, "percentile", "a.nii")[0] for image in (bright, NOISE))
    assert np.abs(found - plain).ravel()[1:].max() < 0.05
    assert found[0, 0, 0] == 1


@pytest.mark.parametrize("rule", ["zscore", "minmax", "percentile"])
def test_a_constant_channel_is_refused(rule: str) -> None:
    image = NOISE.copy()
    image[1] = 5
    with pytest.raises(DataError, match=r"a\.nii: is constant \(every voxel 5\)"):
        normalised(image, rule, "a.nii")


def test_an_almost_empty_image_needs_another_rule_than_percentiles() -> None:
    image = np.zeros((1, 20, 20, 20), np.float32)
    image[0, 3, 3, 3] = 1
    with pytest.raises(DataError, match=r"set plan\.intensity"):
        normalised(image, "percentile", "a.nii")
    assert normalised(image, "minmax", "a.nii").sum() == 1


def test_huge_values_stay_finite() -> None:
    assert np.isfinite(normalised(NOISE * np.float32(1e30), "zscore", "a.nii")).all()
