"""Inversion of displacement fields: of whole fields, and preimages of single points.

A map that does not fold has one preimage for each target, also where it stretches more than
twofold; the fixed-point iteration alone diverges there.
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from tenter.spatial import grids, warp
from tenter.tensors import Field, PerSample, Points

TOLERANCE = 1e-9
"""Default tolerance of a preimage, in voxels at its target."""

STEPS = 40
"""Most steps of either method; Newton's needs up to about 20 where a map stretches tenfold."""

HALVINGS = 12
"""Number of halvings of a Newton step that does not reduce the error enough."""

PROGRESS = 0.95
"""A step that reduces the error to no less than this share of it ends the iteration."""

STARTS = 4
"""Voxels from which Newton's method is restarted for a preimage that it did not find."""

BLOCK = 2**16
"""Points processed at a time: bounds memory."""


def invert(field: Field) -> tuple[Field, PerSample]:
    """The field v with (x + v) + u(x + v) = x at each voxel x.

    Outside its grid u has its border values. Found as in `preimages`, in float64. Between its
    voxels v is only as accurate as linear interpolation.

    Args:
        field: `[b, d, *space]`, voxels.

    Returns:
        The inverse, `[b, d, *space]` voxels, and each sample's largest |v + u(x + v)|, voxels:
        usually no more than rounding. Where the field folds, several preimages exist and one of
        them is taken, so that v is discontinuous there.
    """
    start = grids.identity(field.shape[2:], dtype=torch.float64, device=field.device)
    targets = start[0].flatten(1).T
    displacements = [
        preimages(sample[None], targets).T.reshape(start.shape) - start for sample in field.double()
    ]
    inverse = torch.cat(displacements).to(field.dtype)
    error = inverse + warp.warp(field, inverse)
    return inverse, error.norm(dim=1).flatten(1).amax(dim=1)


def preimages(
    field: Float[Tensor, "1 d *space"],
    targets: Points,
    *,
    start: Points | None = None,
    tolerance: float = TOLERANCE,
) -> Points:
    """The points p with p + u(p) = target; outside its grid u has its border values.

    First the iteration p <- target - u(p) (Chen et al., A simple fixed-point approach to invert
    a deformation field, Medical Physics 2008), as long as it halves the error; then Newton's
    method with a line search for the remaining points; finally Newton's method again, from the
    voxels whose images are nearest to the target. Finds every preimage if the map, so continued,
    does not fold; otherwise one of several, or the best approximation encountered.

    Args:
        field: `[1, d, *space]`, voxels; float64.
        targets: `[n, d]`, voxel coordinates; float64.
        start: initial guess; the targets by default.
        tolerance: largest distance in voxels of p + u(p) from its target.

    Returns:
        `[n, d]`, voxel coordinates.
    """
    points = (targets if start is None else start).clone()
    missed = []
    for first in range(0, len(targets), BLOCK):
        block = slice(first, first + BLOCK)
        points[block], misses = _fixed_point(field, targets[block], points[block], tolerance)
        (unsolved,) = (misses > tolerance).nonzero(as_tuple=True)
        unsolved = unsolved + first
        points[unsolved], misses = _newton(field, targets[unsolved], points[unsolved], tolerance)
        missed.append(unsolved[misses > tolerance])
    unsolved = torch.cat(missed) if missed else torch.zeros(0, dtype=torch.int64)
    if len(unsolved):
        points[unsolved] = _restarted(field, targets[unsolved], points[unsolved], tolerance)
    return points


def moves(field: Float[Tensor, "1 d *space"], points: Points) -> Points:
    """The displacement at voxel coordinates `[n, d]`; border values outside the grid."""
    dimensions = points.shape[1]
    columns = points.T.reshape(1, dimensions, -1, *[1] * (dimensions - 1))
    return warp.sample(field, columns).reshape(dimensions, -1).T


def slopes(field: Float[Tensor, "1 d *space"], points: Points) -> Float[Tensor, "n d d"]:
    """Derivatives of the linearly interpolated displacement at voxel coordinates.

    Args:
        field: `[1, d, *space]`, voxels.
        points: `[n, d]`; at a voxel, the slope towards the next one is taken.

    Returns:
        `[n, d, d]`: row, the component; column, the axis of differentiation. Zero outside the
        grid.
    """
    sizes = points.new_tensor(field.shape[2:])
    inside = torch.minimum(points.clamp(min=0), sizes - 1)
    base = torch.minimum(inside.floor(), (sizes - 2).clamp(min=0))
    share = inside - base
    values = field[0].flatten(1)
    strides = points.new_tensor([math.prod(field.shape[axis + 3 :]) for axis in range(len(sizes))])
    result = points.new_zeros(*points.shape, len(sizes))
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        steps = points.new_tensor(corner)
        index = (torch.minimum(base + steps, sizes - 1) * strides).sum(dim=1).long()
        weights = torch.where(steps.bool(), share, 1 - share)
        signs = 2 * steps - 1
        products = [_product_without(weights, axis) for axis in range(len(sizes))]
        result += values[:, index].T[:, :, None] * (torch.stack(products, dim=1) * signs)[:, None]
    return result * ((points >= 0) & (points <= sizes - 1))[:, None]


def _product_without(weights: Tensor, axis: int) -> Tensor:
    return torch.cat([weights[:, :axis], weights[:, axis + 1 :]], dim=1).prod(dim=1)


def _errors(field: Tensor, points: Tensor, targets: Tensor) -> Tensor:
    return points + moves(field, points) - targets


def _fixed_point(
    field: Tensor, targets: Tensor, start: Tensor, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The result of the fixed-point iteration, and its distances from the targets."""
    points = start.clone()
    errors = _errors(field, points, targets)
    misses = errors.norm(dim=1)
    (unsolved,) = (misses > tolerance).nonzero(as_tuple=True)
    for _ in range(STEPS):
        if not len(unsolved):
            break
        trial = points[unsolved] - errors[unsolved]
        error = _errors(field, trial, targets[unsolved])
        miss = error.norm(dim=1)
        halved = miss <= misses[unsolved] / 2
        unsolved, miss = unsolved[halved], miss[halved]
        points[unsolved], errors[unsolved], misses[unsolved] = trial[halved], error[halved], miss
        unsolved = unsolved[miss > tolerance]
    return points, misses


def _newton(
    field: Tensor, targets: Tensor, points: Tensor, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The result of Newton's method, and its distances from the targets, which never increase."""
    errors = _errors(field, points, targets)
    unsolved = torch.arange(len(targets), device=targets.device)
    for _ in range(STEPS if len(unsolved) else 0):
        start, error, target = points[unsolved], errors[unsolved], targets[unsolved]
        step = _step(field, start, error)
        trial = start + step
        after = _errors(field, trial, target)
        (worse,) = (after.norm(dim=1) > error.norm(dim=1) / 2).nonzero(as_tuple=True)
        if len(worse):
            better = _line_search(field, target[worse], start[worse], (error[worse], step[worse]))
            trial[worse], after[worse] = better, _errors(field, better, target[worse])
        improved = after.norm(dim=1) < PROGRESS * error.norm(dim=1)
        unsolved = unsolved[improved]
        points[unsolved], errors[unsolved] = trial[improved], after[improved]
        unsolved = unsolved[errors[unsolved].norm(dim=1) > tolerance]
        if not len(unsolved):
            break
    return points, errors.norm(dim=1)


def _restarted(field: Tensor, targets: Tensor, points: Tensor, tolerance: float) -> Tensor:
    """The best result of Newton's method started at the voxels that land nearest to the targets."""
    voxels = grids.identity(field.shape[2:], dtype=field.dtype, device=field.device)
    landed = KDTree((voxels + field)[0].flatten(1).T.cpu().numpy())
    _, nearest = landed.query(targets.cpu().numpy(), k=list(range(1, STARTS + 1)))
    starts = (
        voxels[0].flatten(1).T[torch.from_numpy(nearest.clip(max=landed.n - 1)).to(field.device)]
    )
    best, least_misses = points, _errors(field, points, targets).norm(dim=1)
    for start in starts.unbind(dim=1):
        (unsolved,) = (least_misses > tolerance).nonzero(as_tuple=True)
        candidates, misses = _newton(field, targets[unsolved], start[unsolved], tolerance)
        improved = misses < least_misses[unsolved]
        best[unsolved[improved]], least_misses[unsolved[improved]] = (
            candidates[improved],
            misses[improved],
        )
    return best


def _step(field: Tensor, points: Tensor, errors: Tensor) -> Tensor:
    """Newton's step: it cancels the errors of the linearised map; at most as long as the grid."""
    eye = torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
    jacobian = eye + slopes(field, points)
    # Slightly damped least squares: a singular matrix gives a poor step rather than an error.
    square = jacobian.mT @ jacobian + 1e-12 * eye
    step: Tensor = -torch.linalg.solve(square, jacobian.mT @ errors[..., None])[..., 0]
    lengths = step.norm(dim=1, keepdim=True).clamp(min=1e-12)
    scale: Tensor = (max(field.shape[2:]) / lengths).clamp(max=1)
    return step * scale


def _line_search(
    field: Tensor, targets: Tensor, points: Tensor, errors_and_step: tuple[Tensor, Tensor]
) -> Tensor:
    """The best of several shortened steps, by the slope at the point or just ahead of it.

    The slope is discontinuous between cells of voxels. A point on their border may lie in one cell
    while its step leads into the other, whose slope is the correct one.
    """
    errors, step = errors_and_step
    lengths = step.norm(dim=1, keepdim=True).clamp(min=TOLERANCE)
    ahead = _step(field, points + 1e-3 * step / lengths, errors)
    scales = 0.5 ** torch.arange(HALVINGS + 1, dtype=points.dtype, device=points.device)
    steps = torch.stack([step, ahead], dim=1)[:, :, None] * scales[:, None]
    trials = points[:, None] + steps.flatten(1, 2)
    trial_targets = targets[:, None].expand_as(trials)
    misses = _errors(field, trials.flatten(0, 1), trial_targets.flatten(0, 1)).norm(dim=1)
    best = misses.reshape(trials.shape[:2]).argmin(dim=1)
    return trials[torch.arange(len(trials), device=best.device), best]
