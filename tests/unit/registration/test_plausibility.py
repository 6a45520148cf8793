"""Warnings about a registration that succeeded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import new_patient
from tenter.cases import preparation
from tenter.cases.case_files import PreparedImages
from tenter.formats.volumes import Volume
from tenter.records import Plan
from tenter.registration import inputs, plausibility
from tenter.registration.inputs import Original
from tenter.registration.plausibility import Figures
from tenter.spatial.transform import Transform

SOUND = Figures(mean_mm=1.0, largest_mm=2.0, folding_percent=0.0, spread_mm=None)


def originals(scale: float = 1.0) -> tuple[Original, Original]:
    """Both images, the fixed one's voxels enlarged."""
    fixed = new_patient.volume("fixed")
    larger = Volume(fixed.array, fixed.affine @ np.diag([scale, scale, scale, 1.0]))
    return inputs.original(new_patient.volume("moving"), "moving"), inputs.original(larger, "fixed")


def prepared(moving: Original, fixed: Original, plan: Plan = new_patient.PLAN) -> PreparedImages:
    """The case, centre on centre."""
    placed = np.eye(4)
    centres = [np.array(image.volume.array.shape[1:]) / 2 - 0.5 for image in (moving, fixed)]
    ends = [
        (image.volume.affine @ [*centre, 1])[:3]
        for image, centre in zip((moving, fixed), centres, strict=True)
    ]
    placed[:3, 3] = ends[0] - ends[1]
    return preparation.prepared(moving.volume, fixed.volume, plan, placed, ("m", "f"))


def told(
    pair: tuple[Original, Original], plan: Plan = new_patient.PLAN, found: Figures = SOUND
) -> list[str]:
    images = prepared(*pair, plan)
    return [fault.message for fault in plausibility.warnings(*pair, plan, images, found)]


def test_a_pair_of_the_usual_kind_is_told_nothing() -> None:
    assert told(originals()) == []


def test_a_fixed_image_beyond_the_grid_is_told_with_its_reach() -> None:
    # 9 x 11 x 8 voxels of 2, 2, 2.5 mm; the grid is 6 voxels of 2 mm along the first axis.
    plan = replace(new_patient.PLAN, shape=(6, 12, 8))
    messages = told(originals(), plan)
    assert len(messages) == 1
    assert "up to 3.0 mm beyond the model's grid of 12 x 24 x 20 mm" in messages[0]


@pytest.mark.parametrize(("scale", "count"), [(1.9, 0), (2.1, 1), (0.45, 1)])
def test_voxels_of_another_kind_are_told_of(scale: float, count: int) -> None:
    plan = replace(new_patient.PLAN, shape=(40, 40, 40))
    messages = [text for text in told(originals(scale), plan) if "was trained on" in text]
    assert len(messages) == count


def test_voxel_sizes_are_compared_along_the_bodys_axes() -> None:
    moving, fixed = originals()
    turned = Volume(
        np.ascontiguousarray(np.moveaxis(fixed.volume.array, 3, 1)),
        fixed.volume.affine[:, [2, 0, 1, 3]],
    )
    cohort: dict[str, object] = {"fixed": {"median_spacing_mm": [2.0, 2.0, 6.0]}}
    plan = replace(new_patient.PLAN, cohort=cohort)
    message = told((moving, replace(fixed, volume=turned)), plan)[0]
    assert "has voxels of 2 x 2 x 2.5 mm" in message


def test_a_model_that_knows_no_cohort_tells_nothing_of_voxels() -> None:
    assert told(originals(0.1), replace(new_patient.PLAN, cohort={})) == []


def test_folding_is_told_with_its_share() -> None:
    assert (
        "folds in 1.2 % of its voxels"
        in told(originals(), found=replace(SOUND, folding_percent=1.23))[0]
    )


def test_figures_of_a_known_field() -> None:
    field = torch.zeros((1, 3, 6, 6, 6))
    field[:, 0] = 2.0
    transform = Transform(np.eye(4), field, np.diag([3.0, 1.0, 1.0, 1.0]))
    found = plausibility.figures(transform, [field + 0.5, field - 0.5])
    assert (found.mean_mm, found.largest_mm, found.folding_percent) == (6.0, 6.0, 0.0)
    assert found.spread_mm == pytest.approx(0.5 * 11**0.5)


def test_a_reflection_is_all_folded() -> None:
    field = torch.zeros((1, 3, 6, 6, 6))
    field[0, 0] = -2 * torch.arange(6.0)[:, None, None]
    transform = Transform(np.eye(4), field, np.eye(4))
    found = plausibility.figures(transform, [field])
    assert found.folding_percent == 100.0
    assert found.spread_mm is None
