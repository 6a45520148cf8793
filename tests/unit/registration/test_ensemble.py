"""Finished folds that register together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import patient
from tenter.data.cases import Grid, PreparedImages
from tenter.errors import CheckpointError
from tenter.registration import ensemble

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)


@pytest.fixture
def images() -> PreparedImages:
    """A case of the models' plan."""
    sides = [RANDOM.normal(size=(1, *patient.PLAN.shape)).astype(np.float32) for _ in range(2)]
    affine = np.diag([*patient.PLAN.spacing_mm, 1.0])
    grid = Grid(patient.PLAN.shape, affine)
    return PreparedImages(
        affine=affine,
        alignment=np.eye(4),
        moving=sides[0],
        fixed=sides[1],
        moving_source=grid,
        fixed_source=grid,
    )


def test_an_ensemble_says_the_mean_of_its_members(images: PreparedImages, tmp_path: Path) -> None:
    members = ensemble.load([patient.write_model(tmp_path, fold) for fold in "012"], CPU)
    fields = ensemble.fields(images, members)
    transform = ensemble.combined(images, fields)
    torch.testing.assert_close(transform.field, (fields[0] + fields[1] + fields[2]) / 3)
    assert not torch.allclose(fields[0], fields[1], atol=1e-3)


def test_members_share_a_plan(tmp_path: Path) -> None:
    members = ensemble.load([patient.write_model(tmp_path, fold) for fold in "01"], CPU)
    assert ensemble.common_plan(members) == patient.PLAN


def test_members_of_different_plans_are_refused(tmp_path: Path) -> None:
    other = replace(patient.PLAN, intensity="minmax")
    folders = [patient.write_model(tmp_path, "0"), patient.write_model(tmp_path, "1", other)]
    with pytest.raises(CheckpointError, match=r"fold-1: has another plan than fold-0"):
        ensemble.common_plan(ensemble.load(folders, CPU))


def test_a_model_without_a_plan_is_refused(tmp_path: Path) -> None:
    member = ensemble.load([patient.write_model(tmp_path)], CPU)[0]
    del member.description["plan"]
    with pytest.raises(CheckpointError, match=r"fold-0/model\.json: holds no plan"):
        ensemble.plan_of(member)


def test_the_largest_displacement_is_a_length_in_mm(images: PreparedImages) -> None:
    field = torch.zeros((1, 3, *patient.PLAN.shape))
    field[0, :, 4, 5, 6] = torch.tensor([1.0, -2.0, 2.0])
    transform = ensemble.combined(images, [field])
    assert ensemble.largest_mm(transform) == pytest.approx((2**2 + 4**2 + 5**2) ** 0.5, abs=1e-4)
