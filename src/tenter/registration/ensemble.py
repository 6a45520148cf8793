"""Ensembles of finished folds: whether the members fit each other and a case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tenter import finished
from tenter.cases import plans
from tenter.cases.case_files import PreparedImages
from tenter.config import CustomNetwork, Network
from tenter.errors import CheckpointError
from tenter.plugins import Trusted
from tenter.records import Fault, Plan
from tenter.spatial import geometry
from tenter.training import models
from tenter.training.models import LoadedModel


def load(
    folders: Sequence[Path], device: torch.device, trusted: Trusted = models.NOWHERE
) -> tuple[LoadedModel, ...]:
    """Load the members of an ensemble, or one model.

    Args:
        folders: of finished folds.
        device: that the networks are loaded to.
        trusted: where custom networks may be imported from; importing them runs their code.

    Raises:
        InputError: a network is custom code that no trusted place has, or that has changed.
        CheckpointError: no model is given, one is damaged, or two hold the same weights.
    """
    members = tuple(models.load(folder, device, trusted) for folder in folders)
    if not members or len({member.sha256 for member in members}) != len(members):
        folder_names = ", ".join(str(folder) for folder in folders) or "none"
        message = f"are {folder_names}: an ensemble needs models of different weights, at least one"
        fix = "name each folder of an ensemble once"
        raise CheckpointError(Fault("models", message, fix))
    return members


def trusted(network: Network | None) -> Trusted:
    """Where a study's network may be imported from: only what the study names, and has checked."""
    custom = network if isinstance(network, CustomNetwork) else None
    return models.NOWHERE if custom is None else Trusted.beside(custom.reference)


def names(members: Sequence[LoadedModel]) -> tuple[str, ...]:
    """A name for each member: `fold-<k>`, or `<model>/fold-<k>` where folds repeat.

    Raises:
        CheckpointError: two models have the same name and fold.
    """
    folds = tuple(f"fold-{member.fold}" for member in members)
    if len(set(folds)) == len(folds):
        return folds
    longer = tuple(
        f"{member.folder.resolve().parent.name}/{fold}"
        for member, fold in zip(members, folds, strict=True)
    )
    if len(set(longer)) < len(longer):
        message = f"two have one name and fold ({', '.join(longer)})"
        raise CheckpointError(Fault("models", message, "rename the folder of one"))
    return longer


def plan_of(member: LoadedModel) -> Plan:
    """The plan that a model's cases were prepared by.

    Raises:
        CheckpointError: its description holds no valid plan.
    """
    return finished.plan_of(member.description, member.folder / finished.DESCRIPTION)


def common_plan(members: Sequence[LoadedModel]) -> Plan:
    """The plan that all members share.

    Raises:
        CheckpointError: one was trained on cases prepared by another plan than the first's.
    """
    plan = plan_of(members[0])
    for member in members[1:]:
        if plans.plan_digest(plan_of(member)) != plans.plan_digest(plan):
            message = f"has another plan than {members[0].folder.name}"
            fix = "put folds of one training together"
            raise CheckpointError(Fault(str(member.folder), message, fix))
    return plan


def require_same_plan(member: LoadedModel, images: PreparedImages, pair: str, digest: str) -> None:
    """Reject a case that was prepared by another plan than the model's.

    Args:
        member: the model.
        images: the case.
        pair: its name, for the error.
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
    prepared = {
        "shape": list(images.fixed.shape[1:]),
        "spacing_mm": [round(size, 4) for size in geometry.spacing_mm(images.affine)],
        "moving_channels": len(images.moving),
        "fixed_channels": len(images.fixed),
    }
    differences = [
        f"{name} {value} (model: {trained[name]})"
        for name, value in prepared.items()
        if value != trained[name]
    ]
    if not differences and digest != plans.plan_digest(plan):
        differences = [
            f"another intensity or alignment rule (model: {plan.intensity}, {plan.alignment})"
        ]
    if differences:
        message = f"was trained with another plan: {pair} has {', '.join(differences)}"
        fix = "run the workflow with --forcerun plan"
        raise CheckpointError(Fault(str(member.folder), message, fix))
