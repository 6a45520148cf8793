"""Errors at points and over a case, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tenter.metrics.points import point_errors_mm, root_mean_square


def test_a_point_error_is_a_euclidean_length() -> None:
    mapped = np.array([[3.0, 4.0, 0.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(
        point_errors_mm(mapped, np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])), [5, 0]
    )


def test_the_root_mean_square_weighs_large_errors_more() -> None:
    assert root_mean_square([1.0, 7.0]) == pytest.approx(5)


@pytest.mark.parametrize("errors", [[], [1.0, None], [None]])
def test_a_case_with_a_lost_landmark_or_none_has_no_root_mean_square(
    errors: list[float | None],
) -> None:
    assert root_mean_square(errors) is None


def test_one_landmark_is_its_own_root_mean_square() -> None:
    assert root_mean_square([math.pi]) == pytest.approx(math.pi)
