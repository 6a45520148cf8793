"""The joint prediction of an ensemble's members for a pair, and its test-time refinement."""

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
from tenter.records import Fault
from tenter.spatial import geometry
from tenter.spatial.transform import Transform
from tenter.tensors import Field
from tenter.training.models import LoadedModel


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The members' prediction for a pair.

    Attributes:
        field: `[1, 3, x, y, z]` float32, voxels of the case grid; of all members together.
        members: the field of each member, likewise, before any refinement.
        test_time: what a test-time option did: `members`, `poses` and `refine`; None without one.
    """

    field: Field
    members: tuple[Field, ...]
    test_time: dict[str, Any] | None = None

    @property
    def refinement_failure(self) -> str | None:
        """Why refinement failed and the network's own field was kept, or None."""
        refined = (self.test_time or {}).get("refine")
        if refined is None or refined["failed_at"] is None:
            return None
        reason = f"the loss or its gradient is not finite at step {refined['failed_at']}"
        return f"is not refined: {reason}; the network's own field is kept"

    def transform(self, images: PreparedImages) -> Transform:
        """The whole map of the pair: first the field, then the alignment."""
        return Transform(images.alignment, self.field, images.affine)


def predict(
    images: PreparedImages, members: Sequence[LoadedModel], option: TestTime | None = None
) -> Prediction:
    """Register a pair with one model or an ensemble.

    Members are run one after the other and their displacements are averaged. If all have the same
    architecture and predict a velocity, the velocities are averaged instead and integrated once,
    so that the mean folds as little as each member. Predictions under several poses are always
    displacements. Refinement starts from the mean.

    Args:
        images: the pair on the case grid.
        members: on one device.
        option: poses and refinement at test time.

    Raises:
        DataError: a network's field is not finite, or `refine` cannot compare the images.
    """
    device = next(members[0].network.parameters()).device
    moving, fixed = (_batch(image).to(device) for image in (images.moving, images.fixed))
    spacing = geometry.spacing_mm(images.affine)
    poses = option.poses if option else None
    field, member_fields = (
        _posed(members, moving, fixed, poses, spacing) if poses else _plain(members, moving, fixed)
    )
    if option is None:
        return Prediction(field, member_fields)
    report = {"members": len(members), "poses": poses.count if poses else 0, "refine": None}
    if option.refine is not None:
        # Imported only if requested, with its losses; `provenance` tracks it by its key.
        refine = importlib.import_module("tenter.registration.refine")
        field, report["refine"] = refine.refined(field, moving, fixed, option.refine, spacing)
    return Prediction(field, member_fields, report)


@torch.inference_mode()
def _plain(
    members: Sequence[LoadedModel],
    moving: Float[Tensor, "1 m *space"],
    fixed: Float[Tensor, "1 f *space"],
) -> tuple[Field, tuple[Field, ...]]:
    if len(members) > 1 and _flow_alike(members):
        networks: list[Any] = [member.network for member in members]
        velocities = [network.velocity(moving, fixed) for network in networks]
        output, shape = networks[0].output, fixed.shape[2:]
        member_fields = tuple(output.flow(velocity, shape).float() for velocity in velocities)
        _require_finite(members, member_fields)
        return output.flow(torch.stack(velocities).mean(dim=0), shape).float(), member_fields
    member_fields = tuple(member.network(moving, fixed).float() for member in members)
    _require_finite(members, member_fields)
    return _mean(member_fields), member_fields


@torch.inference_mode()
def _posed(
    members: Sequence[LoadedModel],
    moving: Float[Tensor, "1 m *space"],
    fixed: Float[Tensor, "1 f *space"],
    settings: Poses,
    spacing: Sequence[float],
) -> tuple[Field, tuple[Field, ...]]:
    poses = importlib.import_module("tenter.registration.poses")
    member_fields = tuple(
        poses.averaged(member.network, moving, fixed, settings, spacing) for member in members
    )
    _require_finite(members, member_fields)
    return _mean(member_fields), member_fields


def _mean(fields: Sequence[Field]) -> Field:
    return torch.stack(list(fields)).mean(dim=0)


def _flow_alike(members: Sequence[LoadedModel]) -> bool:
    """Whether all members have the same architecture and predict a velocity."""
    first, *descriptions = (member.description["network"] for member in members)
    return first.get("output") == "velocity" and all(
        description == first for description in descriptions
    )


def _require_finite(members: Sequence[LoadedModel], fields: Sequence[Field]) -> None:
    for member, field in zip(members, fields, strict=True):
        if not bool(field.isfinite().all()):
            fix = "inspect the images, or train it again"
            raise DataError(Fault(str(member.folder), "gives a field that is not finite", fix))


def _batch(image: np.ndarray) -> Tensor:
    # A case is memory-mapped read-only, in the file's order; torch needs a copy.
    return torch.from_numpy(np.array(image, dtype=np.float32, order="C"))[None]
