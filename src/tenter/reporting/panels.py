"""A registered pair in pictures: three planes through the gland, contours, and the deformation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from tenter.reporting import drawing
from tenter.reporting.planes import Plane, planes

FIXED = "#ffb000"
MOVED = "#6fc7ff"
Volume = Float[np.ndarray, "x y z"]
Stack = Float[np.ndarray, "l x y z"]
Slice = Float[np.ndarray, "r c"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a panel shows, all on one grid with axes towards R, A and S.

    Attributes:
        fixed: fixed image.
        moving: moving image, aligned only.
        warped: moving image, registered.
        field: displacement in voxels of the grid.
        spacing_mm: voxel size.
        fixed_labels: labels of the fixed image in [0, 1], structures first; may hold none.
        moving_labels: the same labels, aligned only.
        warped_labels: the same labels, registered.
        structures: how many of the labels are structures, drawn with a bolder line.
    """

    fixed: Volume
    moving: Volume
    warped: Volume
    field: Float[np.ndarray, "3 x y z"]
    spacing_mm: tuple[float, float, float]
    fixed_labels: Stack
    moving_labels: Stack
    warped_labels: Stack
    structures: int = 0

    def centre(self) -> tuple[int, int, int]:
        """Voxel at the centroid of the first fixed label, or the grid's middle without one."""
        middle = tuple(size // 2 for size in self.fixed.shape)
        if len(self.fixed_labels):
            voxels = np.argwhere(self.fixed_labels[0] >= 0.5)
            if len(voxels):
                middle = tuple(round(float(coordinate)) for coordinate in voxels.mean(axis=0))
        return (middle[0], middle[1], middle[2])

    def magnitude_mm(self) -> Volume:
        """Length of the displacement."""
        spacing = np.asarray(self.spacing_mm).reshape(3, 1, 1, 1)
        return np.asarray(np.sqrt(np.sum((self.field * spacing) ** 2, axis=0)), dtype=np.float64)


WIDTH, TALLEST = 10.4, 12.0
"""Width of a panel and its largest height, in inches."""

FINEST = 160
"""Largest number of samples across a slice."""

COLUMNS = ("Fixed", "Moving, aligned only", "Moving, registered", "Displacement")


def panel(scene: Scene, alt: str, name: str) -> Markup:
    """Draw three planes (rows), or the one plane of a slice, with `COLUMNS`.

    Args:
        scene: the pair.
        alt: text alternative.
        name: unique within the page.
    """
    extents = [size * step for size, step in zip(scene.fixed.shape, scene.spacing_mm, strict=True)]
    cut = planes(scene.fixed.shape)
    with drawing.style():
        layout = Layout([extents[plane.up] / extents[plane.across] for plane in cut], len(COLUMNS))
        drawn = drawing.figure(WIDTH, layout.height, laid_out=False)
        for column, title in enumerate(COLUMNS):
            layout.write(drawn, title, column)
        for row, plane in enumerate(cut):
            axes = [layout.axes(drawn, row, column) for column in range(len(COLUMNS))]
            displacement = _row(scene, plane, axes)
            slice_number = f", slice {scene.centre()[plane.normal] + 1}" if len(cut) > 1 else ""
            layout.write(drawn, f"{plane.title}{slice_number}", -1, row)
        layout.scale_bar(drawn, displacement)
    return drawing.inline(drawn, alt, name)


class Layout:
    """Positions of a panel's tiles in inches from the top left, independent of text sizes.

    Args:
        ratios: height over width of each row's tiles.
        columns: tiles in each row.
        width: of the figure.
    """

    def __init__(self, ratios: Sequence[float], columns: int, width: float = WIDTH) -> None:
        left, right, gap, self._head = 0.26, 0.74, 0.07, 0.26
        room = width - left - right - (columns - 1) * gap
        self._tile = min(room / columns, (TALLEST - 1) / sum(ratios))
        self._left = left + (room - columns * self._tile) / 2
        self._gap = gap
        self._columns = columns
        self._width = width
        self._heights = [self._tile * ratio for ratio in ratios]
        self.height = self._head + sum(self._heights) + gap * (len(ratios) - 1)

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, bottom, width, height as shares of the figure."""
        left = self._left + column * (self._tile + self._gap)
        low = self.height - self._head - sum(self._heights[: row + 1]) - row * self._gap
        return (
            left / self._width,
            low / self.height,
            self._tile / self._width,
            self._heights[row] / self.height,
        )

    def axes(self, drawn: Figure, row: int, column: int) -> Axes:
        """An empty tile."""
        axes = drawn.add_axes(self.box(row, column))
        axes.set_axis_off()
        return axes

    def write(self, drawn: Figure, text: str, column: int, row: int = 0) -> None:
        """Write a heading above a column or, for column -1, beside a row."""
        left, low, width, height = self.box(row, max(column, 0))
        if column < 0:
            drawn.text(
                left - 0.008,
                low + height / 2,
                text,
                rotation=90,
                ha="right",
                va="center",
                color=drawing.MUTED,
            )
        else:
            drawn.text(
                left + width / 2, 1 - 0.06 / self.height, text, ha="center", va="top", fontsize=10
            )

    def scale_bar(self, drawn: Figure, image: AxesImage) -> None:
        """Draw the colour bar of the last column, in mm."""
        left, low, width, height = self.box(0, self._columns - 1)
        colour_axes = drawn.add_axes((left + width + 0.01, low + 0.15 * height, 0.01, 0.7 * height))
        bar = drawn.colorbar(image, cax=colour_axes)
        bar.set_label("mm")
        bar.outline.set_visible(False)


def _row(scene: Scene, plane: Plane, axes: list[Axes]) -> AxesImage:
    tiles = [Tile(each, scene, plane) for each in axes]
    images = (scene.fixed, scene.moving, scene.warped)
    overlays = (None, scene.moving_labels, scene.warped_labels)
    for tile, image, labels in zip(tiles, images, overlays, strict=False):
        tile.show(image, window(image), "gray")
        tile.contours(scene.fixed_labels, FIXED, "solid")
        if labels is not None:
            tile.contours(labels, MOVED, "dashed")
    tiles[0].letters()
    return tiles[3].displacement()


def window(image: Volume) -> tuple[float, float]:
    """Values shown as black and as white."""
    low, high = (float(edge) for edge in np.percentile(image, (1, 99.5)))
    return low, max(high, low + 1e-6)


@dataclass(frozen=True, slots=True)
class Tile:
    """One slice on paper.

    Attributes:
        axes: where it is drawn.
        scene: the pair.
        plane: how it is cut.
    """

    axes: Axes
    scene: Scene
    plane: Plane

    def show(self, volume: Volume, limits: tuple[float, float], colours: str) -> AxesImage:
        """Draw a volume's slice between two values."""
        x, y = self._edges(self.plane.across), self._edges(self.plane.up)
        cut = _coarse(self._cut(volume)[:, ::-1] if self.plane.flip else self._cut(volume))
        extent = (x[1], x[0], *y) if self.plane.flip else (*x, *y)
        return self.axes.imshow(
            cut, cmap=colours, vmin=limits[0], vmax=limits[1], extent=extent,
            origin="lower", interpolation="none", aspect="auto",
        )  # fmt: skip

    def contours(self, labels: Stack, colour: str, dashes: str) -> None:
        """Outline labels at a half, structures with a bolder line."""
        x, y = self._coordinates(self.plane.across), self._coordinates(self.plane.up)
        for index, label in enumerate(labels):
            cut = self._cut(label)
            if cut.max() >= 0.5 > cut.min():
                width = 1.6 if index < self.scene.structures else 1.0
                self.axes.contour(
                    x, y, cut, levels=[0.5], colors=colour, linewidths=width, linestyles=dashes
                )

    def displacement(self, longest_mm: float | None = None) -> AxesImage:
        """Draw the length of the displacement, the deformed grid and the outline of structures.

        Args:
            longest_mm: shown in the brightest colour; default: the scene's longest.
        """
        length = self.scene.magnitude_mm()
        longest = float(length.max()) if longest_mm is None else longest_mm
        image = self.show(length, (0.0, max(longest, 1e-3)), "cividis")
        self.grid()
        self.contours(self.scene.fixed_labels[: self.scene.structures], FIXED, "solid")
        return image

    def grid(self) -> None:
        """Draw the lines of the fixed grid where the map takes them in the aligned moving image."""
        moved = []
        for axis in (self.plane.across, self.plane.up):
            along = [-1 if dimension == axis else 1 for dimension in range(3)]
            coordinates = (
                np.arange(self.scene.fixed.shape[axis]).reshape(along) + self.scene.field[axis]
            )
            moved.append(self._cut(coordinates * self.scene.spacing_mm[axis]))
        points = np.stack(moved, axis=-1)
        step = max(2, round(max(points.shape[:2]) / 14))
        lines = [*points[::step], *np.swapaxes(points, 0, 1)[::step]]
        self.axes.add_collection(
            LineCollection(lines, colors="white", linewidths=0.7, alpha=0.85), autolim=False
        )

    def letters(self) -> None:
        """Name the sides of the body."""
        outline = [patheffects.withStroke(linewidth=2, foreground="black")]
        for letter, x, align in zip(self.plane.sides, (0.02, 0.98), ("left", "right"), strict=True):
            self.axes.text(
                x, 0.03, letter, transform=self.axes.transAxes, ha=align, va="bottom",
                color="white", fontsize=9, path_effects=outline,
            )  # fmt: skip

    def _cut(self, volume: Volume) -> Slice:
        """The slice, with rows upwards and columns to the right."""
        section = np.take(volume, self.scene.centre()[self.plane.normal], axis=self.plane.normal)
        return np.asarray(section.T, dtype=np.float64)

    def _coordinates(self, axis: int) -> Float[np.ndarray, "n"]:
        size = self.scene.fixed.shape[axis]
        coordinates: Float[np.ndarray, "n"] = np.linspace(
            0.0, (size - 1) * self.scene.spacing_mm[axis], size
        )
        return coordinates

    def _edges(self, axis: int) -> tuple[float, float]:
        step = self.scene.spacing_mm[axis]
        return -step / 2, (self.scene.fixed.shape[axis] - 0.5) * step


def _coarse(cut: Slice) -> Float[np.ndarray, "i j"]:
    """At most `FINEST` samples across: means over blocks keep a page of fine images small."""
    block = -(-max(cut.shape) // FINEST)
    if block == 1:
        return cut
    rows, columns = (-(-size // block) * block for size in cut.shape)
    padded = np.pad(cut, ((0, rows - cut.shape[0]), (0, columns - cut.shape[1])), mode="edge")
    blocks = padded.reshape(rows // block, block, columns // block, block)
    means: Float[np.ndarray, "i j"] = blocks.mean(axis=(1, 3))
    return means
