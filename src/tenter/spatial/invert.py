"""Inverting displacement fields: whole ones, and finding the places that single points came from.

A map that does not fold has one place for each target, also where it stretches more than
twofold; simple iteration alone diverges there.
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from tenter.shapes import Field, PerSample, Points
from tenter.spatial import grids, warp

TOLERANCE = 1e-9
"""Voxels by which a place may miss its target, unless asked for."""

STEPS = 40
"""Largest number of steps of either method; Newton's needs up to about 20 where a map stretches tenfold."""

HALVINGS = 12
"""How often a step that leads astray is halved."""

PROGRESS = 0.95
"""A step that leaves more of the error than this leads nowhere."""

STARTS = 4
"""Voxels that Newton's method is begun anew from, for a place that it did not find."""

BLOCK = 2**16
"""Points worked on at a time: bounds memory."""


def invert(field: Field) -> tuple[Field, PerSample]:
    """The field v with (x + v) + u(x + v) = x at each voxel x; beyond its grid u is as at its border.

    Found as in `preimages`, in float64. Between its voxels v is right only as far as linear
    interpolation carries.

    Args:
        field: `[b, d, *space]`, voxels.

    Returns:
        The inverse, `[b, d, *space]` voxels, and each sample's largest |v + u(x + v)|, voxels:
        no more than rounding as a rule. Where the field folds, several places are right and one
        of them is taken, so that v jumps there.
    """
    start = grids.identity(field.shape[2:], dtype=torch.float64, device=field.device)
    targets = start[0].flatten(1).T
    found = [preimages(sample[None], targets).T.reshape(start.shape) - start for sample in field.double()]
    inverse = torch.cat(found).to(field.dtype)
    error = inverse + warp.warp(field, inverse)
    return inverse, error.norm(dim=1).flatten(1).amax(dim=1)


def preimages(
    field: Float[Tensor, "1 d *space"],
    targets: Points,
    *,
    start: Points | None = None,
    tolerance: float = TOLERANCE,
) -> Points:
    """The places p with p + u(p) = target; beyond its grid u is as at its border.

    First the iteration p <- target - u(p) (Chen et al., A simple fixed-point approach to invert
    a deformation field, Medical Physics 2008), as long as it halves the error; then Newton's
    method on what is left, its steps cut until they lead nearer; at last the same from the voxels
    that land nearest. Finds every place where the map, so continued, does not fold; otherwise
    one of several, or the nearest miss that it met.

    Args:
        field: `[1, d, *space]`, voxels; float64.
        targets: `[n, d]`, voxel coordinates; float64.
        start: where to look first; at the targets by default.
        tolerance: voxels by which a place may miss its target.

    Returns:
        `[n, d]`, voxel coordinates.
    """
    places = (targets if start is None else start).clone()
    missed = []
    for first in range(0, len(targets), BLOCK):
        block = slice(first, first + BLOCK)
        places[block], misses = _iterated(field, targets[block], places[block], tolerance)
        (left,) = (misses > tolerance).nonzero(as_tuple=True)
        left = left + first
        places[left], misses = _newton(field, targets[left], places[left], tolerance)
        missed.append(left[misses > tolerance])
    left = torch.cat(missed) if missed else torch.zeros(0, dtype=torch.int64)
    if len(left):
        places[left] = _begun_anew(field, targets[left], places[left], tolerance)
    return places


def moves(field: Float[Tensor, "1 d *space"], places: Points) -> Points:
    """The displacement at voxel coordinates `[n, d]`; beyond the grid as at its border."""
    dimensions = places.shape[1]
    columns = places.T.reshape(1, dimensions, -1, *[1] * (dimensions - 1))
    return warp.sample(field, columns).reshape(dimensions, -1).T


def slopes(field: Float[Tensor, "1 d *space"], places: Points) -> Float[Tensor, "n d d"]:
    """Derivatives of the displacement as it is read between voxels, at voxel coordinates.

    Args:
        field: `[1, d, *space]`, voxels.
        places: `[n, d]`; on a voxel, the slope towards the next one is meant.

    Returns:
        `[n, d, d]`: row, the component; column, the axis along which the place moves. Zero
        beyond the grid.
    """
    sizes = places.new_tensor(field.shape[2:])
    inside = torch.minimum(places.clamp(min=0), sizes - 1)
    base = torch.minimum(inside.floor(), (sizes - 2).clamp(min=0))
    share = inside - base
    values = field[0].flatten(1)
    strides = places.new_tensor([math.prod(field.shape[axis + 3 :]) for axis in range(len(sizes))])
    result = places.new_zeros(*places.shape, len(sizes))
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        steps = places.new_tensor(corner)
        index = (torch.minimum(base + steps, sizes - 1) * strides).sum(dim=1).long()
        weights = torch.where(steps.bool(), share, 1 - share)
        signs = 2 * steps - 1
        others = [_product_without(weights, axis) for axis in range(len(sizes))]
        result += values[:, index].T[:, :, None] * (torch.stack(others, dim=1) * signs)[:, None]
    return result * ((places >= 0) & (places <= sizes - 1))[:, None]


def _product_without(weights: Tensor, axis: int) -> Tensor:
    return torch.cat([weights[:, :axis], weights[:, axis + 1 :]], dim=1).prod(dim=1)


def _errors(field: Tensor, places: Tensor, targets: Tensor) -> Tensor:
    return places + moves(field, places) - targets


def _iterated(field: Tensor, targets: Tensor, start: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Where the fixed-point iteration leads, and by how much that misses."""
    places = start.clone()
    errors = _errors(field, places, targets)
    misses = errors.norm(dim=1)
    (left,) = (misses > tolerance).nonzero(as_tuple=True)
    for _ in range(STEPS):
        if not len(left):
            break
        tried = places[left] - errors[left]
        error = _errors(field, tried, targets[left])
        miss = error.norm(dim=1)
        halved = miss <= misses[left] / 2
        left, miss = left[halved], miss[halved]
        places[left], errors[left], misses[left] = tried[halved], error[halved], miss
        left = left[miss > tolerance]
    return places, misses


def _newton(field: Tensor, targets: Tensor, places: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Where Newton's method leads, and by how much that misses; never further off than it began."""
    errors = _errors(field, places, targets)
    left = torch.arange(len(targets), device=targets.device)
    for _ in range(STEPS if len(left) else 0):
        start, error, goal = places[left], errors[left], targets[left]
        step = _step(field, start, error)
        tried = start + step
        after = _errors(field, tried, goal)
        (astray,) = (after.norm(dim=1) > error.norm(dim=1) / 2).nonzero(as_tuple=True)
        if len(astray):
            better = _searched(field, goal[astray], start[astray], (error[astray], step[astray]))
            tried[astray], after[astray] = better, _errors(field, better, goal[astray])
        nearer = after.norm(dim=1) < PROGRESS * error.norm(dim=1)
        left = left[nearer]
        places[left], errors[left] = tried[nearer], after[nearer]
        left = left[errors[left].norm(dim=1) > tolerance]
        if not len(left):
            break
    return places, errors.norm(dim=1)


def _begun_anew(field: Tensor, targets: Tensor, places: Tensor, tolerance: float) -> Tensor:
    """The best that Newton's method finds from the voxels that land nearest to the targets."""
    voxels = grids.identity(field.shape[2:], dtype=field.dtype, device=field.device)
    landed = KDTree((voxels + field)[0].flatten(1).T.cpu().numpy())
    _, nearest = landed.query(targets.cpu().numpy(), k=list(range(1, STARTS + 1)))
    starts = voxels[0].flatten(1).T[torch.from_numpy(nearest.clip(max=landed.n - 1)).to(field.device)]
    best, least = places, _errors(field, places, targets).norm(dim=1)
    for start in starts.unbind(dim=1):
        (left,) = (least > tolerance).nonzero(as_tuple=True)
        found, misses = _newton(field, targets[left], start[left], tolerance)
        nearer = misses < least[left]
        best[left[nearer]], least[left[nearer]] = found[nearer], misses[nearer]
    return best


def _step(field: Tensor, places: Tensor, errors: Tensor) -> Tensor:
    """The step that would undo the errors were the map linear around these places; within the grid's size."""
    eye = torch.eye(places.shape[1], dtype=places.dtype, device=places.device)
    jacobian = eye + slopes(field, places)
    # Least squares, a hair damped: a singular matrix gives a poor step rather than none.
    square = jacobian.mT @ jacobian + 1e-12 * eye
    step: Tensor = -torch.linalg.solve(square, jacobian.mT @ errors[..., None])[..., 0]
    lengths = step.norm(dim=1, keepdim=True).clamp(min=1e-12)
    scale: Tensor = (max(field.shape[2:]) / lengths).clamp(max=1)
    return step * scale


def _searched(field: Tensor, targets: Tensor, places: Tensor, known: tuple[Tensor, Tensor]) -> Tensor:
    """The best of shortened steps, by the slope here or just ahead.

    The slope jumps between cells of voxels. A place on their border may lie in one cell and be
    bound for the other, whose slope is the right one.
    """
    errors, step = known
    lengths = step.norm(dim=1, keepdim=True).clamp(min=TOLERANCE)
    ahead = _step(field, places + 1e-3 * step / lengths, errors)
    scales = 0.5 ** torch.arange(HALVINGS + 1, dtype=places.dtype, device=places.device)
    steps = torch.stack([step, ahead], dim=1)[:, :, None] * scales[:, None]
    tried = places[:, None] + steps.flatten(1, 2)
    goals = targets[:, None].expand_as(tried)
    misses = _errors(field, tried.flatten(0, 1), goals.flatten(0, 1)).norm(dim=1)
    best = misses.reshape(tried.shape[:2]).argmin(dim=1)
    return tried[torch.arange(len(tried), device=best.device), best]
