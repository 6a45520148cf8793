"""Dice, against hand-made cubes and SimpleITK."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk

from tenter.metrics.overlap import dice
from tenter.shapes import Mask


def cube(shift: int = 0) -> Mask:
    mask = np.zeros((24, 14, 14), dtype=np.bool_)
    mask[2 + shift : 12 + shift, 2:12, 2:12] = True
    return mask


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (3, 0.7), (6, 0.4), (9, 0.1), (10, 0.0)])
def test_a_cube_of_ten_voxels_loses_a_tenth_for_each_voxel_of_shift(shift: int, expected: float) -> None:
    assert dice(cube(), cube(shift)) == pytest.approx(expected, abs=1e-12)


def test_one_empty_mask_shares_nothing() -> None:
    assert dice(cube(), np.zeros_like(cube())) == 0


def test_two_empty_masks_have_no_dice() -> None:
    assert math.isnan(dice(np.zeros_like(cube()), np.zeros_like(cube())))


def test_agrees_with_simpleitk_on_random_masks() -> None:
    random = np.random.default_rng(0)
    first, second = (random.random((7, 8, 9)) < share for share in (0.3, 0.6))
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (first, second)))
    assert dice(first, second) == pytest.approx(measures.GetDiceCoefficient(), abs=1e-12)
