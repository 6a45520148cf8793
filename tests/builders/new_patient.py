"""A new patient on disk, and tiny finished models that can register it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tenter import networks
from tenter.config import UNetNetwork
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.records import Plan
from tenter.shapes import Matrix
from tenter.training import models

COHORT: dict[str, object] = {
    "moving": {"median_spacing_mm": [2.0, 2.0, 2.0]},
    "fixed": {"median_spacing_mm": [2.0, 2.0, 2.5]},
}
PLAN = Plan(
    shape=(10, 12, 8),
    spacing_mm=(2.0, 2.0, 2.5),
    intensity="zscore",
    alignment="centre",
    cohort=COHORT,
)
NETWORK = UNetNetwork(channels=2, depth=1)

FOLDING = 0.5
"""Spread of random weights with which a model's fields fold; with 0.1 they do not."""


def write_model(folder: Path, fold: str = "0", plan: Plan = PLAN, weight: float = 0.1) -> Path:
    """A fold's model with random weights, as a training would leave it."""
    torch.manual_seed(1 + len(fold) + sum(fold.encode()))
    network = networks.build(NETWORK, plan.moving_channels + plan.fixed_channels)
    weights = {
        name: weight * torch.randn_like(value) for name, value in network.state_dict().items()
    }
    description = {
        "fold": fold,
        "network": NETWORK.model_dump(mode="json"),
        "channels": {"moving": plan.moving_channels, "fixed": plan.fixed_channels},
        "plan": asdict(plan),
    }
    models.save(folder / f"fold-{fold}", weights, description)
    return folder / f"fold-{fold}"


def placed(spacing: Sequence[float], shape: Sequence[int], centre: Sequence[float]) -> Matrix:
    """Affine of a volume whose middle lies at `centre`."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.asarray(centre) - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return affine


def volume(side: str, channels: int = 1) -> Volume:
    """An image of the patient: smooth noise; the sides are stored otherwise and lie apart."""
    shape, spacing, centre = {
        "moving": ((11, 9, 10), (-2.0, 2.0, 2.0), (-20.0, 35.0, 5.0)),
        "fixed": ((9, 11, 8), (-2.0, -2.0, 2.5), (10.0, 20.0, -5.0)),
    }[side]
    random = np.random.default_rng(len(side))
    array = random.normal(100, 20, size=(channels, *shape))
    for axis in (1, 2, 3):
        array = array + np.roll(array, 1, axis) + np.roll(array, -1, axis)
    return Volume(array.astype(np.float32), placed(spacing, shape, centre))


def write_images(folder: Path) -> tuple[Path, Path]:
    """Files of the moving and the fixed image."""
    paths = folder / "mr.nii.gz", folder / "us.nii.gz"
    for path, side in zip(paths, ("moving", "fixed"), strict=True):
        image = volume(side)
        volumes.write_image(path, image.array, image.affine)
    return paths
