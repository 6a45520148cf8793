"""Figures of a training on its validation pairs, whose patients it is not trained on.

They are measured on the case grid and serve as curves only; results are measured elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tenter.config import TrainSettings
from tenter.sampling.cohort import SIDES, Case, Side
from tenter.spatial import constants, warp
from tenter.tensors import Field, Labels
from tenter.training.interruption import Stop
from tenter.training.step import forward
from tenter.training.team import ALONE, Team

THRESHOLD = 0.5


def measure(
    network: nn.Module,
    cases: Sequence[Case],
    settings: TrainSettings,
    spacing_mm: Sequence[float],
    stop: Stop | None = None,
    *,
    team: Team = ALONE,
) -> dict[str, float] | None:
    """Register the validation cases and measure them.

    Args:
        network: maps (moving, fixed) to a field in voxels; its training mode is restored.
        cases: validation cases; may be empty.
        settings: of the training.
        spacing_mm: of the grid.
        stop: checked between cases.
        team: processes that share the cases; all get the same result.

    Returns:
        means over all labels of a kind: `val_dice` and `val_soft_dice` of structures, `val_tre_mm`
        of landmarks, as far as there are any; None if a stop was requested.
    """
    mode = network.training
    network.eval()
    case_figures: list[dict[str, list[float]]] = []
    broken_off = False
    try:
        for case in team.own(cases):
            broken_off = stop is not None and stop.code is not None
            if broken_off:
                break
            case_figures.append(_measured(network, case, settings, spacing_mm))
    finally:
        network.train(mode)
    figures: dict[str, list[float]] = {"val_dice": [], "val_soft_dice": [], "val_tre_mm": []}
    for share in team.gathered(None if broken_off else case_figures):
        if share is None:
            return None
        for name, values in ((name, values) for case in share for name, values in case.items()):
            figures[name].extend(value for value in values if math.isfinite(value))
    return {name: math.fsum(values) / len(values) for name, values in figures.items() if values}


@torch.inference_mode()
def _measured(
    network: nn.Module, case: Case, settings: TrainSettings, spacing_mm: Sequence[float]
) -> dict[str, list[float]]:
    device = next(network.parameters()).device
    moving, fixed = (image.unsqueeze(0).to(device) for image in case.images)
    field = forward(network, moving, fixed, settings)
    structures = [index for index, role in enumerate(case.roles) if role == "structure"]
    landmarks = [index for index, role in enumerate(case.roles) if role == "landmark"]
    figures: dict[str, list[float]] = {}
    if structures:
        warped = warp.warp(_pasted(case, "moving", structures, field), field, padding="zeros")
        target = _pasted(case, "fixed", structures, field)
        figures["val_soft_dice"] = dice(warped, target).tolist()
        binary = [(labels >= THRESHOLD).to(labels.dtype) for labels in (warped, target)]
        figures["val_dice"] = dice(*binary).tolist()
    if landmarks:
        source, target = (_pasted(case, side, landmarks, field) for side in SIDES)
        figures["val_tre_mm"] = centroid_distance_mm(source, target, field, spacing_mm).tolist()
    return figures


def _pasted(case: Case, side: Side, indices: Sequence[int], field: Field) -> Labels:
    target = field.new_zeros(1, len(indices), *field.shape[2:])
    case.paste(side, indices, target[0])
    return target


def dice(first: Labels, second: Labels) -> Float[Tensor, "l"]:
    """2 sum(ab) / (sum(a) + sum(b)) of each label of a batch of one; NaN where both are empty."""
    space = tuple(range(2, first.ndim))
    return (2 * (first * second).sum(space) / (first.sum(space) + second.sum(space)))[0]


def centroid_distance_mm(
    moving: Labels, fixed: Labels, field: Field, spacing_mm: Sequence[float]
) -> Float[Tensor, "l"]:
    """Distance from each fixed label's centroid, mapped by the field, to the moving label's.

    The point is mapped rather than the label warped, so that a small landmark cannot vanish.

    Args:
        moving: `[1, l, x, y, z]`.
        fixed: `[1, l, x, y, z]`.
        field: `[1, 3, x, y, z]`, voxels.
        spacing_mm: of the grid.

    Returns:
        mm for each label.
    """
    start = _centroids(fixed)
    points = start.T.reshape(1, 3, -1, 1, 1)
    shift = warp.sample(field, points.to(field.dtype), padding="border").reshape(3, -1).T
    spacing = constants.numbers(spacing_mm, start)
    distance: Tensor = torch.linalg.vector_norm(
        (start + shift - _centroids(moving)) * spacing, dim=1
    )
    return distance


def _centroids(labels: Labels) -> Float[Tensor, "l d"]:
    """Centres of mass of a batch of one, in voxels."""
    columns = []
    for axis in range(2, labels.ndim):
        other_axes = tuple(dimension for dimension in range(2, labels.ndim) if dimension != axis)
        profile = labels[0].double().sum(tuple(dimension - 1 for dimension in other_axes))
        index = torch.arange(profile.shape[1], dtype=profile.dtype, device=profile.device)
        columns.append((profile * index).sum(1) / profile.sum(1))
    return torch.stack(columns, dim=1)
