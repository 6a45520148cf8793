"""What is measured of one label, put together."""

from __future__ import annotations

import numpy as np
import pytest

from tenter.metrics.regions import Region
from tenter.metrics.strict import UNITS, label_figures

AFFINE = np.diag([2.0, 1.0, 1.0, 1.0])


def cube(start: tuple[int, int, int], size: int = 4) -> Region:
    return Region(np.ones((size, size, size), dtype=np.bool_), start)


def test_a_shifted_cube_is_measured_in_every_way() -> None:
    figures = label_figures(cube((3, 5, 7)), cube((5, 5, 7)), AFFINE, surfaces=True)
    assert figures["dice"] == pytest.approx(0.5)
    assert figures["tre"] == pytest.approx(4.0)
    assert figures["hd95"] == pytest.approx(4.0)
    assert figures["surface_distance"] == pytest.approx(92 / 56)


def test_landmarks_are_spared_the_surfaces() -> None:
    figures = label_figures(cube((3, 5, 7)), cube((5, 5, 7)), AFFINE, surfaces=False)
    assert sorted(figures) == ["dice", "tre"]


def test_a_vanished_label_has_no_overlap_and_no_distance() -> None:
    nothing = Region(np.zeros((0, 0, 0), dtype=np.bool_), (0, 0, 0))
    figures = label_figures(nothing, cube((5, 5, 7)), AFFINE, surfaces=True)
    assert figures == {"dice": 0.0, "tre": None, "hd95": None, "surface_distance": None}


def test_every_figure_has_a_unit() -> None:
    assert set(label_figures(cube((0, 0, 0)), cube((0, 0, 0)), AFFINE, surfaces=True)) <= set(UNITS)
