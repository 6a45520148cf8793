"""Finished folds that register together: whether they belong together, and what they say of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from tenter.data import plans
from tenter.data.cases import PreparedImages
from tenter.errors import CheckpointError, DataError
from tenter.records import AlignmentRule, Plan
from tenter.spatial import geometry
from tenter.spatial.transform import Transform
from tenter.training import models
from tenter.training.models import LoadedModel


def load(folders: Sequence[Path], device: torch.device) -> tuple[LoadedModel, ...]:
    """Load the members of an ensemble, or one model.

    Args:
        folders: of finished folds.
        device: where the networks shall live.

    Raises:
        CheckpointError: one is damaged, there is none, or two are of one fold.
    """
    members = tuple(models.load(folder, device) for folder in folders)
    if not members or len({member.fold for member in members}) != len(members):
        named = ", ".join(str(folder) for folder in folders) or "none"
        message = f"models ({named}): an ensemble needs models of different folds, at least one"
        raise CheckpointError(message)
    return members


def plan_of(member: LoadedModel) -> Plan:
    """The plan that a model's cases were prepared by.

    Raises:
        CheckpointError: its description holds none.
    """
    try:
        known = member.description["plan"]
        return Plan(**known | {name: tuple(known[name]) for name in ("shape", "spacing_mm")})
    except (KeyError, TypeError) as error:
        message = (
            f"{member.folder / models.DESCRIPTION}: holds no plan; train the model again with this version"
        )
        raise CheckpointError(message) from error


def common_plan(members: Sequence[LoadedModel]) -> Plan:
    """The plan that all members share.

    Raises:
        CheckpointError: one was trained on cases prepared otherwise than the first's.
    """
    plan = plan_of(members[0])
    for member in members[1:]:
        if plans.plan_digest(plan_of(member)) != plans.plan_digest(plan):
            message = (
                f"{member.folder}: has another plan than {members[0].folder.name}; "
                "put folds of one training together"
            )
            raise CheckpointError(message)
    return plan


def require_same_plan(member: LoadedModel, images: PreparedImages, pair: str, digest: str) -> None:
    """Refuse cases that are not of the kind that a model was trained on.

    The alignment rule may differ: it decides where images meet, not what a network sees.

    Args:
        member: the model.
        images: the case.
        pair: its name, for the complaint.
        digest: of the plan that it was prepared by.

    Raises:
        CheckpointError: naming each difference.
    """
    plan = plan_of(member)
    trained = {
        "shape": list(plan.shape),
        "spacing_mm": [round(size, 4) for size in plan.spacing_mm],
        "moving_channels": plan.moving_channels,
        "fixed_channels": plan.fixed_channels,
    }
    facts = {
        "shape": list(images.fixed.shape[1:]),
        "spacing_mm": [round(size, 4) for size in geometry.spacing_mm(images.affine)],
        "moving_channels": len(images.moving),
        "fixed_channels": len(images.fixed),
    }
    wrong = [
        f"{name} {value} (model: {trained[name]})" for name, value in facts.items() if value != trained[name]
    ]
    rules: tuple[AlignmentRule, ...] = get_args(AlignmentRule)
    if not wrong and digest not in {plans.plan_digest(replace(plan, alignment=rule)) for rule in rules}:
        wrong = [f"another intensity rule than the model's, {plan.intensity}"]
    if wrong:
        mend = "prepare the cohort with the model's plan, or train a model on it"
        message = f"{member.folder}: was not trained on such cases; {pair} has {', '.join(wrong)}; {mend}"
        raise CheckpointError(message)


@torch.inference_mode()
def fields(images: PreparedImages, members: Sequence[LoadedModel]) -> list[Tensor]:
    """Each member's field `[1, 3, x, y, z]`, voxels of the case grid, float32, on the member's device.

    Raises:
        DataError: a network gave what is no number.
    """
    found = []
    for member in members:
        device = next(member.network.parameters()).device
        moving, fixed = (_batch(image).to(device) for image in (images.moving, images.fixed))
        field: Tensor = member.network(moving, fixed).float()
        if not bool(field.isfinite().all()):
            message = (
                f"{member.folder}: gives a field that is not finite; look at the images, or train it again"
            )
            raise DataError(message)
        found.append(field)
    return found


def combined(images: PreparedImages, fields: Sequence[Tensor]) -> Transform:
    """The whole map of a pair: the mean of the members' fields, then the alignment."""
    return Transform(images.alignment, torch.stack(list(fields)).mean(dim=0), images.affine)


def largest_mm(transform: Transform) -> float:
    """Longest displacement of the field, mm, without the alignment."""
    spacing = torch.tensor(geometry.spacing_mm(transform.affine), device=transform.field.device)
    lengths = (transform.field * spacing.reshape(1, 3, 1, 1, 1)).norm(dim=1)
    return round(float(lengths.max()), 4)


def _batch(image: np.ndarray) -> Tensor:
    # A case is mapped read-only, in the file's order; torch wants its own copy.
    return torch.from_numpy(np.array(image, dtype=np.float32, order="C"))[None]
