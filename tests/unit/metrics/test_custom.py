"""Metrics of one's own: what their functions get, and what they may return."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.measured_pairs import (
    AFFINE,
    FIXED_BALLS,
    MAP,
    MOVING,
    MOVING_BALLS,
    MeasuredStudy,
    balls,
    shifted,
)
from tenter.config import CustomMetric, Evaluation
from tenter.errors import DataError
from tenter.records import MetricRow

CODE = """
import numpy as np

def volume(warped, fixed, spacing_mm, affine):
    assert np.allclose(np.linalg.norm(affine[:3, :3], axis=0), spacing_mm)
    return fixed.sum() * np.prod(spacing_mm)

def left(warped, fixed):
    return warped.sum() or None

def along_r(displacement_mm):
    return displacement_mm[0, 10, 9, 7]

def failing(warped, fixed):
    raise ValueError("no such thing")
"""


@pytest.fixture
def study(tmp_path: Path) -> MeasuredStudy:
    (tmp_path / "mine.py").write_text(CODE)
    return MeasuredStudy(tmp_path)


def measured(study: MeasuredStudy, shift_mm: float = 3.0, **keys: object) -> list[MetricRow]:
    """The rows of one custom metric of a pair that is shifted along R."""
    name = f"{study.root / 'mine.py'}:{keys.pop('name')}"
    metric = CustomMetric.model_validate({"better": "lower", "name": name} | keys)
    fixed, moving = balls(AFFINE, FIXED_BALLS), balls(MOVING, MOVING_BALLS)
    study.add("p", shifted(shift_mm), fixed=fixed, moving=moving)
    settings = MAP.model_copy(update={"evaluation": Evaluation(metrics=(metric,))})
    return [row for row in study.evaluate(settings) if row.metric == metric.column]


def test_labels_of_the_chosen_roles_are_measured_in_their_unit(study: MeasuredStudy) -> None:
    (row,) = measured(study, name="volume", roles=("structure",), unit="mm3")
    voxels = (balls(AFFINE, FIXED_BALLS) == 1).sum()
    assert (row.label, row.role, row.unit) == ("gland", "structure", "mm3")
    assert (row.before, row.after) == pytest.approx([voxels * 0.8 * 1.1 * 2.5] * 2)


def test_a_label_that_vanished_may_have_no_value_and_counts_as_worst(study: MeasuredStudy) -> None:
    rows = measured(study, shift_mm=300.0, name="left")
    assert {(row.after, row.note) for row in rows} == {(None, "vanished")}
    assert all(row.before for row in rows)


def test_where_higher_is_better_a_label_that_vanished_needs_a_value(study: MeasuredStudy) -> None:
    with pytest.raises(DataError, match=r"returned None .* for a label that vanished"):
        measured(study, shift_mm=300.0, name="left", better="higher")


def test_a_field_is_the_whole_map_in_mm(study: MeasuredStudy) -> None:
    (row,) = measured(study, name="along_r", of="field", better="neither")
    assert (row.role, row.label) == ("field", "")
    assert (row.before, row.after) == pytest.approx((0.0, 3.0), abs=1e-5)


def test_a_function_that_fails_names_itself_and_the_pair(study: MeasuredStudy) -> None:
    with pytest.raises(DataError) as caught:
        measured(study, name="failing")
    text = str(caught.value)
    assert "mine.py:failing" in text
    assert "failed (ValueError: no such thing)" in text
    assert caught.value.faults[-1].pair == "p"
