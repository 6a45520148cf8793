"""A regular subsample of a volume's voxels, collected while it is read block by block."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Shaped

from tenter.formats.payloads import Block
from tenter.shapes import Matrix

LARGEST = 2**24
"""Largest number of samples that are kept, over all channels."""


class Samples:
    """A volume's values on a coarse grid whose voxels are a subset of the volume's voxels.

    Args:
        shape: voxels of the volume along its stored axes.
        channels: of the volume.
        most: largest number of samples along each axis; fewer if there are very many channels.
        dtype: type in which samples are kept.
    """

    def __init__(
        self, shape: tuple[int, int, int], channels: int, most: int, dtype: type[np.generic]
    ) -> None:
        most = max(1, min(most, math.floor((LARGEST / channels) ** (1 / 3))))
        self._steps = [math.ceil(size / most) for size in shape]
        axes = [
            np.arange(step // 2, size, step) for size, step in zip(shape, self._steps, strict=True)
        ]
        self._shape = tuple(len(axis) for axis in axes)
        x, y, z = axes
        planes = z[:, None, None] * (shape[0] * shape[1]) + y[:, None] * shape[0] + x
        self._numbers = planes.ravel()
        self._values = np.zeros((channels, len(self._numbers)), dtype)

    def add(self, block: Block) -> None:
        """Keep the samples that lie in a block."""
        ends = (block.start, block.start + block.values.shape[1])
        first, last = np.searchsorted(self._numbers, ends)
        if first < last:
            channels = slice(block.channel, block.channel + len(block.values))
            picked = block.values[:, self._numbers[first:last] - block.start]
            self._values[channels, first:last] = picked

    def array(self) -> Shaped[np.ndarray, "c x y z"]:
        """The samples."""
        x, y, z = self._shape
        return self._values.reshape(-1, z, y, x).transpose(0, 3, 2, 1)

    def affine(self, affine: Matrix) -> Matrix:
        """Voxel of the coarse grid to RAS mm, given the volume's affine."""
        local = np.diag([*map(float, self._steps), 1.0])
        local[:3, 3] = [step // 2 for step in self._steps]
        coarse: Matrix = affine @ local
        return coarse
