"""Finished folds that register together."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from builders import new_patient
from tenter.errors import CheckpointError
from tenter.registration import ensemble, pair_files
from tenter.spatial.transform import Transform

CPU = torch.device("cpu")


def test_members_share_a_plan(tmp_path: Path) -> None:
    members = ensemble.load([new_patient.write_model(tmp_path, fold) for fold in "01"], CPU)
    assert ensemble.common_plan(members) == new_patient.PLAN


def test_members_of_different_plans_are_refused(tmp_path: Path) -> None:
    other = replace(new_patient.PLAN, intensity="minmax")
    folders = [
        new_patient.write_model(tmp_path, "0"),
        new_patient.write_model(tmp_path, "1", other),
    ]
    with pytest.raises(CheckpointError, match=r"fold-1: has another plan than fold-0"):
        ensemble.common_plan(ensemble.load(folders, CPU))


def test_a_model_without_a_plan_is_refused(tmp_path: Path) -> None:
    member = ensemble.load([new_patient.write_model(tmp_path)], CPU)[0]
    del member.description["plan"]
    with pytest.raises(CheckpointError, match=r"fold-0/model\.json: holds no valid plan"):
        ensemble.plan_of(member)


def test_the_largest_displacement_is_a_length_in_mm() -> None:
    field = torch.zeros((1, 3, *new_patient.PLAN.shape))
    field[0, :, 4, 5, 6] = torch.tensor([1.0, -2.0, 2.0])
    transform = Transform(np.eye(4), field, np.diag([*new_patient.PLAN.spacing_mm, 1.0]))
    assert pair_files.largest_mm(transform) == pytest.approx((2**2 + 4**2 + 5**2) ** 0.5, abs=1e-4)


def test_members_are_named_by_their_folds(tmp_path: Path) -> None:
    members = ensemble.load([new_patient.write_model(tmp_path, fold) for fold in "01"], CPU)
    assert ensemble.names(members) == ("fold-0", "fold-1")


def test_members_of_one_fold_are_named_by_their_models_too(tmp_path: Path) -> None:
    folders = [
        new_patient.write_model(tmp_path / name, weight=weight)
        for name, weight in (("unet", 0.1), ("unet-seed1", 0.2))
    ]
    members = ensemble.load(folders, CPU)
    assert ensemble.names(members) == ("unet/fold-0", "unet-seed1/fold-0")


def test_members_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    folders = [
        new_patient.write_model(tmp_path / name / "unet", weight=weight)
        for name, weight in (("a", 0.1), ("b", 0.2))
    ]
    with pytest.raises(
        CheckpointError, match=r"two have one name and fold \(unet/fold-0, unet/fold-0\)"
    ):
        ensemble.names(ensemble.load(folders, CPU))


def test_the_same_weights_twice_are_refused(tmp_path: Path) -> None:
    folder = new_patient.write_model(tmp_path / "a")
    shutil.copytree(folder, tmp_path / "b/fold-0")
    with pytest.raises(CheckpointError, match="different weights"):
        ensemble.load([folder, tmp_path / "b/fold-0"], CPU)
