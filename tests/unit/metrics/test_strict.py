"""What is measured of one label, put together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenter.metrics import strict
from tenter.metrics.definitions import STRICT, of_family
from tenter.metrics.measurands import MeasuredLabels, WarpedLabel
from tenter.metrics.regions import Region

AFFINE = np.diag([2.0, 1.0, 1.0, 1.0])


def cube(start: tuple[int, int, int], size: int = 4) -> Region:
    return Region(np.ones((size, size, size), dtype=np.bool_), start)


def values(warped: Region, fixed: Region, role: str = "structure") -> dict[str, float | None]:
    return strict.values("label", role, WarpedLabel.of(warped, fixed, AFFINE))


def test_a_shifted_cube_is_measured_in_every_way() -> None:
    figures = values(cube((3, 5, 7)), cube((5, 5, 7)))
    assert figures["dice"] == pytest.approx(0.5)
    assert figures["tre"] == pytest.approx(4.0)
    assert figures["hd95"] == pytest.approx(4.0)
    assert figures["surface_distance"] == pytest.approx(92 / 56)


def test_landmarks_are_spared_the_surfaces() -> None:
    figures = values(cube((3, 5, 7)), cube((5, 5, 7)), "landmark")
    assert sorted(figures) == ["dice", "tre"]


def test_a_vanished_label_has_no_overlap_and_no_distance() -> None:
    nothing = Region(np.zeros((0, 0, 0), dtype=np.bool_), (0, 0, 0))
    figures = values(nothing, cube((5, 5, 7)))
    assert figures == {"dice": 0.0, "tre": None, "hd95": None, "surface_distance": None}


def test_surfaces_can_be_left_out() -> None:
    label = WarpedLabel.of(cube((3, 5, 7)), cube((5, 5, 7)), AFFINE)
    assert sorted(strict.values("label", "structure", label, surfaces=False)) == ["dice", "tre"]


def test_a_pair_with_a_vanished_landmark_has_no_error() -> None:
    labels = MeasuredLabels(({"tre": 3.0}, {"tre": None}))
    assert strict.values("pair", "landmark", labels) == {"rms_tre": None}


def test_every_strict_metric_has_a_module_and_every_module_a_definition() -> None:
    modules = {path.stem for path in Path(strict.__file__).parent.glob("[!_]*.py")}
    assert modules == {metric.name for metric in of_family(STRICT)}
