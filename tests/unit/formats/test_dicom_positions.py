"""Positions of DICOM slices that a scanner rounded: even ones are accepted,
and no gap hides in them.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from builders import dicoms
from tenter.errors import DataError
from tenter.formats import dicom, volumes


def affine(spacing: float, *, oblique: bool = False) -> np.ndarray:
    matrix = np.eye(4)
    turn = (
        Rotation.from_euler("xyz", [11, -17, 23], degrees=True).as_matrix()
        if oblique
        else np.eye(3)
    )
    matrix[:3, :3] = turn @ np.diag([0.8, 1.1, spacing])
    matrix[:3, 3] = (3.123, -7.77, 11.318)
    return matrix


def series(folder: Path, matrix: np.ndarray, count: int, digits: int) -> Path:
    """Slices whose positions are rounded to so many digits."""

    def rounded(_: int, elements: dicoms.Elements) -> None:
        places = [
            round(float(word), digits) for word in str(elements[dicoms.POSITION][1]).split("\\")
        ]
        elements[dicoms.POSITION] = ("DS", "\\".join(f"{place:.6f}" for place in places))

    values = np.random.default_rng(0).integers(0, 99, (5, 4, count)).astype(np.int16)
    return dicoms.write_series(folder / "series", values, matrix, change=rounded)


@pytest.mark.parametrize("spacing", [0.45, 0.625, 0.7031, 1.25, 2.34, 3.3])
@pytest.mark.parametrize("oblique", [False, True])
def test_even_slices_are_accepted_with_their_mean_distance(
    tmp_path: Path,
    spacing: float,
    oblique: bool,  # noqa: FBT001 - parametrised
) -> None:
    matrix = affine(spacing, oblique=oblique)
    read = volumes.header(series(tmp_path, matrix, 12, 1)).affine
    assert np.linalg.norm(read[:3, 2]) == pytest.approx(spacing, abs=0.2 / 11)


@pytest.mark.parametrize("spacing", [0.45, 0.625, 0.7031, 1.25, 2.34, 3.3])
@pytest.mark.parametrize(("oblique", "missing"), list(itertools.product([False, True], [1, 5, 10])))
def test_a_missing_slice_is_seen_although_positions_are_rounded(
    tmp_path: Path,
    spacing: float,
    oblique: bool,  # noqa: FBT001 - parametrised
    missing: int,
) -> None:
    folder = series(tmp_path, affine(spacing, oblique=oblique), 12, 1)
    (folder / dicoms.name_of(missing)).unlink()
    with pytest.raises(DataError, match=r"lacks slices|uneven"):
        volumes.header(folder)


@pytest.mark.parametrize(
    ("spacing", "digits"), [(0.17, 1), (0.018, 2), (1.3, 0), (0.22, 1), (1.7, 0)]
)
def test_what_is_rounded_too_coarsely_is_refused_with_the_reason(
    tmp_path: Path, spacing: float, digits: int
) -> None:
    complaint = (
        re.escape(f"rounded to {10.0**-digits:g} mm, too coarsely") + "|two slices at one place"
    )
    with pytest.raises(DataError, match=complaint):
        volumes.header(series(tmp_path, affine(spacing), 12, digits))


@pytest.mark.parametrize("shift", [0.2, 0.31, 0.47, -0.3, 0.9])
def test_a_refusal_shows_two_distances_that_differ(tmp_path: Path, shift: float) -> None:
    folder = series(tmp_path, affine(2.0), 6, 3)
    values = np.zeros((5, 4, 1), np.int16)
    moved = affine(2.0)
    moved[2, 3] += 6.0 + shift
    dicoms.write_series(tmp_path / "moved", values, moved)
    (tmp_path / "moved" / dicoms.name_of(0)).replace(folder / dicoms.name_of(3))
    with pytest.raises(DataError) as caught:
        volumes.header(folder)
    first, second = re.findall(r"([\d.]+) mm", str(caught.value).split("slices: ")[1])[:2]
    assert first != second


@settings(max_examples=100, deadline=None)
@given(
    spacing=st.floats(0.5, 5),
    start=st.floats(-100, 100),
    count=st.integers(3, 60),
    missing=st.floats(0.01, 0.99),
)
def test_rounding_to_a_tenth_is_told_from_a_gap(
    spacing: float, start: float, count: int, missing: float
) -> None:
    places = np.round(start + spacing * np.arange(count + 1), 1)
    whole = places[:-1] - places[0]
    gap = np.delete(places, 1 + int(missing * (count - 1))) - places[0]
    assert dicom._is_explained(whole, 0.05)  # noqa: SLF001 - through files this would be slow
    if dicom._largest_reach(spacing, count) > 0.05:  # noqa: SLF001 - likewise
        assert not dicom._is_explained(gap, 0.05)  # noqa: SLF001 - likewise
