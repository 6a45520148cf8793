"""What members say of a pair together, and what a test-time option makes of it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.cases.case_files import PreparedImages
from tenter.config import Poses, TestTime
from tenter.errors import DataError
from tenter.shapes import Field
from tenter.spatial import geometry
from tenter.spatial.transform import Transform
from tenter.training.models import LoadedModel


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A pair as its members register it.

    Attributes:
        field: `[1, 3, x, y, z]` float32, voxels of the case grid; of all members together.
        members: each member's own, likewise, before any refinement.
        done: what a test-time option did: `members`, `poses` and `refine`; None without one.
    """

    field: Field
    members: tuple[Field, ...]
    done: dict[str, Any] | None = None

    @property
    def complaint(self) -> str | None:
        """Why the network's own field stands where it should have been refined, or None."""
        refined = (self.done or {}).get("refine")
        if refined is None or refined["failed_at"] is None:
            return None
        what = f"the loss or its gradient is no number at step {refined['failed_at']}"
        return f"is not refined: {what}; the network's own field is kept"

    def transform(self, images: PreparedImages) -> Transform:
        """The whole map of the pair: the field, then the alignment."""
        return Transform(images.alignment, self.field, images.affine)


def answer(images: PreparedImages, members: Sequence[LoadedModel], option: TestTime | None = None) -> Answer:
    """Register a pair by members together.

    Members answer one by one. Their displacements are averaged; where all are the same network and it
    predicts a velocity, the velocities are, and integrated once, so that the mean folds as little as
    each member. Answers under several poses are displacements, whatever the network. Refinement
    starts from the mean.

    Args:
        images: the pair on the case grid.
        members: on one device.
        option: what is done beyond that.

    Raises:
        DataError: a network gave what is no number, or the images cannot be compared by `refine`.
    """
    device = next(members[0].network.parameters()).device
    moving, fixed = (_batch(image).to(device) for image in (images.moving, images.fixed))
    spacing = geometry.spacing_mm(images.affine)
    poses = option.poses if option else None
    field, own = _posed(members, moving, fixed, poses, spacing) if poses else _plain(members, moving, fixed)
    if option is None:
        return Answer(field, own)
    done = {"members": len(members), "poses": poses.count if poses else 0, "refine": None}
    if option.refine is not None:
        # Read only where it is asked for, with its losses; `provenance` follows it by its key.
        refine = importlib.import_module("tenter.registration.refine")
        field, done["refine"] = refine.refined(field, moving, fixed, option.refine, spacing)
    return Answer(field, own, done)


@torch.inference_mode()
def _plain(
    members: Sequence[LoadedModel], moving: Float[Tensor, "1 m *space"], fixed: Float[Tensor, "1 f *space"]
) -> tuple[Field, tuple[Field, ...]]:
    if len(members) > 1 and _flow_alike(members):
        networks: list[Any] = [member.network for member in members]
        velocities = [network.velocity(moving, fixed) for network in networks]
        output, shape = networks[0].output, fixed.shape[2:]
        own = tuple(output.flow(velocity, shape).float() for velocity in velocities)
        _require_numbers(members, own)
        return output.flow(torch.stack(velocities).mean(dim=0), shape).float(), own
    own = tuple(member.network(moving, fixed).float() for member in members)
    _require_numbers(members, own)
    return _mean(own), own


@torch.inference_mode()
def _posed(
    members: Sequence[LoadedModel],
    moving: Float[Tensor, "1 m *space"],
    fixed: Float[Tensor, "1 f *space"],
    settings: Poses,
    spacing: Sequence[float],
) -> tuple[Field, tuple[Field, ...]]:
    poses = importlib.import_module("tenter.registration.poses")
    own = tuple(poses.averaged(member.network, moving, fixed, settings, spacing) for member in members)
    _require_numbers(members, own)
    return _mean(own), own


def _mean(fields: Sequence[Field]) -> Field:
    return torch.stack(list(fields)).mean(dim=0)


def _flow_alike(members: Sequence[LoadedModel]) -> bool:
    """Whether all members are one dense network, of different weights, that predicts a velocity."""
    first, *more = (member.description["network"] for member in members)
    return first.get("output") == "velocity" and all(other == first for other in more)


def _require_numbers(members: Sequence[LoadedModel], fields: Sequence[Field]) -> None:
    for member, field in zip(members, fields, strict=True):
        if not bool(field.isfinite().all()):
            message = (
                f"{member.folder}: gives a field that is not finite; look at the images, or train it again"
            )
            raise DataError(message)


def _batch(image: np.ndarray) -> Tensor:
    # A case is mapped read-only, in the file's order; torch wants its own copy.
    return torch.from_numpy(np.array(image, dtype=np.float32, order="C"))[None]
