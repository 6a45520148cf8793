"""What trainings learn from in tests: cases in memory, and a prepared cohort on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from builders.row_files import row_file
from builders.tiny_cohorts import write_cohort
from tenter import config
from tenter.records import Label, Role
from tenter.sampling.cohort import Box, Case
from tenter.stages.plan import plan
from tenter.stages.prepare_images import prepare_images
from tenter.stages.prepare_labels import prepare_labels

SHAPE = (10, 12, 8)
SPACING = (2.0, 2.0, 2.0)


def ball(
    centre: tuple[float, float, float], radius: float, shape: tuple[int, int, int] = SHAPE
) -> Tensor:
    """A soft ball, `[x, y, z]`, in steps of 1/255."""
    axes = torch.meshgrid(
        *(torch.arange(size, dtype=torch.float64) for size in shape), indexing="ij"
    )
    distance = sum((axis - place) ** 2 for axis, place in zip(axes, centre, strict=True)) ** 0.5
    return ((radius + 0.5 - distance).clamp(0, 1) * 255).round() / 255


def box(label: Tensor) -> Box:
    """A whole label as a box that is as large as the grid."""
    return Box((0, 0, 0), (label * 255).round().to(torch.uint8))


def case(
    name: str = "p0", patient: str = "a", roles: tuple[Role, ...] = ("structure", "landmark")
) -> Case:
    """A pair of images that show a ball, shifted by a voxel or two between the sides,
    and its labels.
    """
    random = np.random.default_rng(int.from_bytes(name.encode()))
    shift = random.uniform(-1.5, 1.5, 3)
    labels, boxes = [], []
    for index, role in enumerate(roles):
        radius = 3.0 if role == "structure" else 1.5
        fixed = tuple(4.5 + random.uniform(-1, 1, 3))
        moving = tuple(np.array(fixed) + shift)
        boxes.append((box(ball(moving, radius)), box(ball(fixed, radius))))
        labels.append(Label(f"label-{index}", index, role))
    pictures = [0.01 * side.values.float() for side in boxes[0]]
    return Case(
        name, (patient,), (1 - pictures[0][None], pictures[1][None]), tuple(labels), tuple(boxes)
    )


def settings(**changed: Any) -> config.TrainSettings:
    """A tiny training; keys of `training` are overridden by name, sections by section."""
    training = {"steps": 6, "batch": 2, "learning_rate": 1e-2}
    sections: dict[str, Any] = {
        "network": {"name": "unet", "channels": 2, "depth": 1},
        "losses": {
            "labels": [{"name": "dice", "scales_mm": [0, 4]}],
            "regularisers": [{"name": "bending", "weight": 0.5}],
        },
        "augmentation": {"affine": 0.1},
        "validation": {"fraction": 0, "every": 3},
        "seed": 1,
        "warm_start": None,
        "twins": (),
    }
    for key, value in changed.items():
        (sections if key in sections else training)[key] = value
    return config.TrainSettings.model_validate({**sections, "training": training})


@dataclass(frozen=True)
class Prepared:
    """A prepared cohort: what `train` is given."""

    root: Path
    pairs: tuple[str, ...]

    @property
    def flags(self) -> dict[str, Any]:
        """The paths that `train` takes."""
        return {
            "images": (self.root / "images.tsv",),
            "labels": (self.root / "labels.tsv",),
            "cases": self.root / "cases",
            "plan": self.root / "plan.json",
        }


def prepare(root: Path, pairs: int = 4, **choices: Any) -> Prepared:
    """Write a cohort of spheres and prepare it."""
    made = write_cohort(root / "cohort", pairs=pairs, **choices)
    rules = config.PlanRules(spacing_mm=3.0)
    common: dict[str, Any] = {
        "rows": row_file(root, made.manifest, made.ids),
        "code": "c",
        "cases": root / "cases",
    }
    plan(rows=common["rows"], settings=rules, output=root / "plan.json")
    prepare_images(
        **common,
        plan=root / "plan.json",
        settings=config.ImageSettings(plan=rules),
        table=root / "images.tsv",
    )
    labels = config.LabelFiles(names=(config.NamedLabel(name="gland", key=1, role="structure"),))
    prepare_labels(
        **common,
        images=root / "images.tsv",
        settings=config.LabelSettings(labels=labels),
        table=root / "labels.tsv",
    )
    return Prepared(root, made.ids)
