"""One registration in one picture: both images, checkerboards and the deformed grid."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from tenter.reporting import drawing
from tenter.reporting.panels import Layout, Scene, Tile, Volume, window
from tenter.reporting.planes import PLANES, planes

COLUMNS = (
    "Fixed",
    "Moving, aligned only",
    "Moving, registered",
    "Checkerboard, aligned only",
    "Checkerboard, registered",
    "Displacement",
)
WIDTH = 15.4
"""Inches."""

SQUARES = 8
"""Squares of a checkerboard along the longest side shown."""

Window = tuple[float, float]


def png(scenes: Sequence[Scene], dots_per_inch: int = 100) -> bytes:
    """Draw `COLUMNS` for three planes (rows), or for the one plane of a slice.

    Checkerboards alternate between the fixed and the moving image: edges continue from square
    to square where the images agree.

    Args:
        scenes: one slice, a voxel thick, for each of `PLANES` or for one of them.
        dots_per_inch: of the picture.

    Returns:
        A PNG file's content; equal scenes give equal bytes.
    """
    stream = io.BytesIO()
    with drawing.style():
        drawn = _figure(scenes)
        drawn.savefig(
            stream, format="png", dpi=dots_per_inch, metadata={"Software": None}, facecolor="white"
        )
    return stream.getvalue()


def checkerboard(first: Volume, second: Volume, square: tuple[int, int, int]) -> Volume:
    """Two volumes in alternating squares, beginning with the first.

    Args:
        first: shown in the corner.
        second: on the same grid.
        square: voxels of a square along each axis.
    """
    index = np.indices(first.shape) // np.reshape(square, (3, 1, 1, 1))
    return np.asarray(np.where(index.sum(axis=0) % 2 == 0, first, second))


def _figure(scenes: Sequence[Scene]) -> Figure:
    extents = [np.array(scene.fixed.shape) * scene.spacing_mm for scene in scenes]
    cut = PLANES if len(scenes) > 1 else planes(scenes[0].fixed.shape)
    ratios = [
        float(size[plane.up] / size[plane.across]) for size, plane in zip(extents, cut, strict=True)
    ]
    layout = Layout(ratios, len(COLUMNS), WIDTH)
    drawn = drawing.figure(WIDTH, layout.height, laid_out=False)
    for column, title in enumerate(COLUMNS):
        layout.write(drawn, title, column)
    fixed = _window([scene.fixed for scene in scenes])
    moving = _window([scene.moving for scene in scenes])
    longest = max(float(scene.magnitude_mm().max()) for scene in scenes)
    square_mm = float(np.max(extents)) / SQUARES
    for row, (scene, plane) in enumerate(zip(scenes, cut, strict=True)):
        tiles = [
            Tile(layout.axes(drawn, row, column), scene, plane) for column in range(len(COLUMNS))
        ]
        for tile, image in zip(tiles, _images(scene, fixed, moving, square_mm), strict=False):
            tile.show(image, (0.0, 1.0), "gray")
        tiles[0].letters()
        displacement = tiles[-1].displacement(longest)
        layout.write(drawn, plane.title, -1, row)
    layout.scale_bar(drawn, displacement)
    return drawn


def _images(scene: Scene, fixed: Window, moving: Window, square_mm: float) -> list[Volume]:
    """Images of all columns except the last, from 0 (black) to 1 (white)."""
    still = _scaled(scene.fixed, fixed)
    before, after = (_scaled(image, moving) for image in (scene.moving, scene.warped))
    x, y, z = (max(1, round(square_mm / step)) for step in scene.spacing_mm)
    boards = [checkerboard(still, image, (x, y, z)) for image in (before, after)]
    return [still, before, after, *boards]


def _window(images: Sequence[Float[np.ndarray, "..."]]) -> Window:
    """Values shown as black and as white, the same for all slices of an image."""
    return window(np.concatenate([image.ravel() for image in images]).reshape(-1, 1, 1))


def _scaled(image: Volume, limits: Window) -> Float[np.ndarray, "x y z"]:
    low, high = limits
    return np.asarray(np.clip((image - low) / (high - low), 0, 1))
