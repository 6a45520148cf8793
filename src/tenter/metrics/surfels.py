"""Area-weighted distance between two surfaces, on a grid of unit voxels.

The surface of a mask runs between voxels. Each cube of eight neighbouring voxel centres that is
partly inside the mask has one surface element (surfel), where marching cubes, with vertices at
the midpoints of the cube's edges, would place triangles. The element lies at the cube's centre,
and its weight is the triangles' total area. DeepMind's package `surface-distance` does the same.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from tenter.shapes import Mask

Corner = tuple[int, int, int]

CORNERS: tuple[Corner, ...] = tuple((x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1))

TRIANGLE = math.sqrt(3) / 8
"""One corner cut off: sides of sqrt(1/2)."""
RECTANGLE = math.sqrt(2) / 2
"""Two corners that share an edge: 1 by sqrt(1/2)."""
PENTAGON = 0.5 + math.sqrt(3) / 4 + math.sqrt(3) / 8
"""Three consecutive corners of one face, cut into triangles."""
SQUARE = 1.0
"""The four corners of a face."""
HEXAGON = 3 * math.sqrt(3) / 4
"""A corner and its three neighbours: sides of sqrt(1/2)."""
BENT = math.sqrt(2) / 2 + math.sqrt(3) / 2
"""Four consecutive corners that are not all on one face."""


def robust_hausdorff(first: Mask, second: Mask, percentile: float = 95.0) -> float:
    """The larger of the two directed percentiles of surface distance, in voxels.

    A percentile is the distance within which elements with this share of the surface's area
    lie, without interpolation. Source: Nikolov et al., arXiv 1809.04430 (2018), and
    their published package.

    Args:
        first: mask `x y z`.
        second: mask of the same shape.
        percentile: from 0 to 100.

    Returns:
        Infinite if either mask is empty.
    """
    ends = [_surface(mask) for mask in (first, second)]
    if not ends[0][1].size or not ends[1][1].size:
        return math.inf
    directed = []
    for (centres, areas), (other_centres, _) in (ends, ends[::-1]):
        distances, _ = cKDTree(other_centres).query(centres)
        directed.append(_weighted_percentile(np.asarray(distances), areas, percentile))
    return max(directed)


def _surface(mask: Mask) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """Position (on the lattice of cubes) and area of each element of a mask's surface."""
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros(np.subtract(padded.shape, 1), dtype=np.uint8)
    for bit, corner in enumerate(CORNERS):
        part = tuple(slice(a, a + size) for a, size in zip(corner, codes.shape, strict=True))
        codes |= padded[part] << bit
    cubes = np.argwhere((codes != 0) & (codes != 255))
    return cubes.astype(np.float64), areas()[codes[tuple(cubes.T)]]


def _weighted_percentile(
    distances: Float[np.ndarray, "n"], areas: Float[np.ndarray, "n"], percentile: float
) -> float:
    order = np.lexsort((areas, distances))
    reached = np.cumsum(areas[order]) / np.sum(areas[order])
    index = int(np.searchsorted(reached, percentile / 100))
    return float(distances[order][min(index, distances.size - 1)])


@functools.cache
def areas() -> Float[np.ndarray, "256"]:
    """Area of the surface in a cube of eight voxel centres, indexed by which corners are set.

    Bit k of the index stands for corner k of `CORNERS`. Corners that no edge of the cube joins
    are cut off separately; if more than four corners are set, the unset ones are cut off.
    """
    table = np.zeros(256)
    for code in range(256):
        inside = {corner for bit, corner in enumerate(CORNERS) if code >> bit & 1}
        fewer = inside if len(inside) <= 4 else set(CORNERS) - inside
        table[code] = math.fsum(_area(group) for group in _joined(fewer))
    return table


def _joined(corners: set[Corner]) -> list[set[Corner]]:
    """Groups of corners that are connected by the cube's edges."""
    groups: list[set[Corner]] = []
    for corner in sorted(corners):
        touching = [
            group for group in groups if any(_neighbours(corner, member) for member in group)
        ]
        groups = [group for group in groups if group not in touching]
        groups.append(set().union({corner}, *touching))
    return groups


def _neighbours(first: Corner, second: Corner) -> bool:
    return sum(a != b for a, b in zip(first, second, strict=True)) == 1


def _area(group: set[Corner]) -> float:
    if len(group) < 4:
        return (0.0, TRIANGLE, RECTANGLE, PENTAGON)[len(group)]
    degrees = sorted(sum(_neighbours(corner, neighbour) for neighbour in group) for corner in group)
    if degrees == [2, 2, 2, 2]:
        return SQUARE
    return HEXAGON if degrees == [1, 1, 1, 3] else BENT
