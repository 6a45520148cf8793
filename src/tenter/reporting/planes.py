"""The planes through a grid and how their slices are laid out on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenter.spatial import slices


@dataclass(frozen=True, slots=True)
class Plane:
    """How a slice is laid out on paper: patient's right on the reader's left, front or head up.

    Attributes:
        title: name of the plane.
        normal: axis of the grid that the slice is perpendicular to.
        across: axis that runs to the right.
        up: axis that runs up.
        flip: whether the first axis of the grid runs to the left.
        sides: letters at the left and the right edge.
    """

    title: str
    normal: int
    across: int
    up: int
    flip: bool
    sides: tuple[str, str]


PLANES = (
    Plane("axial", 2, 0, 1, flip=True, sides=("R", "L")),
    Plane("coronal", 1, 0, 2, flip=True, sides=("R", "L")),
    Plane("sagittal", 0, 1, 2, flip=True, sides=("A", "P")),
)


def planes(shape: Sequence[int]) -> tuple[Plane, ...]:
    """The planes that a grid has: all, or the one of a slice."""
    normal = slices.normal(shape)
    return tuple(plane for plane in PLANES if normal in {None, plane.normal})
