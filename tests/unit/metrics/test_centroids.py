"""Centroids and their distances in mm, against hand calculation and SimpleITK."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from tenter.metrics.centroids import centroid_distance_mm, centroid_mm
from tenter.shapes import Mask, Matrix


def blob(shift: tuple[int, int, int] = (0, 0, 0)) -> Mask:
    mask = np.zeros((16, 16, 16), dtype=np.bool_)
    mask[4:9, 5:8, 6:8] = True
    mask[8, 7, 9] = True
    return np.roll(mask, shift, axis=(0, 1, 2))


def oblique() -> Matrix:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() * [
        0.8,
        1.1,
        2.5,
    ]
    affine[:3, 3] = [-30, 12, 7]
    return affine


def found(mask: Mask, affine: Matrix) -> np.ndarray:
    centroid = centroid_mm(mask, affine)
    assert centroid is not None
    return centroid


def test_an_empty_mask_has_no_centroid() -> None:
    assert centroid_mm(np.zeros((4, 4, 4), dtype=np.bool_), np.eye(4)) is None


def test_an_empty_mask_has_no_distance() -> None:
    assert centroid_distance_mm(np.zeros_like(blob()), blob(), np.eye(4)) is None


def test_storage_from_left_to_right_or_right_to_left_does_not_matter() -> None:
    affine, flipped = oblique(), oblique()
    flipped[:3, 3] += affine[:3, 0] * 15
    flipped[:3, 0] *= -1
    np.testing.assert_allclose(found(blob()[::-1], flipped), found(blob(), affine), atol=1e-12)
