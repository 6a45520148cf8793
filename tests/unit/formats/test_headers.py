from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenter.errors import DataError
from tenter.formats import headers
from tenter.formats.headers import Header

SHAPE = (20, 30, 40)
IMAGE = np.diag([1.0, 1.5, 2.0, 1.0])


def require(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> None:
    labels = Header(shape, 1, affine, np.dtype("u1"))
    headers.require_same_grid(Path("labels.nii"), labels, SHAPE, IMAGE)


def test_the_same_place_within_rounding_is_accepted() -> None:
    near = IMAGE.copy()
    near[:3, 3] += 5e-7
    near[0, 1] += 5e-7
    require(near)


def test_another_shape_is_refused_with_both() -> None:
    with pytest.raises(DataError, match=r"\(20, 30, 41\), their image \(20, 30, 40\)"):
        require(IMAGE, (20, 30, 41))


def test_another_place_is_refused_with_the_gap() -> None:
    moved = IMAGE.copy()
    moved[0, 3] += 3.0
    with pytest.raises(
        DataError, match=r"lie up to 3 mm .*origin \[3.0, 0.0, 0.0\] against \[0.0, 0.0, 0.0\]"
    ):
        require(moved)


def test_another_voxel_size_is_refused_by_its_reach() -> None:
    with pytest.raises(DataError, match=r"lie up to 3.9 mm"):
        require(IMAGE @ np.diag([1, 1, 1.05, 1]))


def test_a_flip_about_the_first_voxel_is_refused() -> None:
    with pytest.raises(DataError, match="lie up to 19 mm"):
        require(IMAGE @ np.diag([-1, 1, 1, 1]))
