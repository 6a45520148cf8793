"""Prepared cases as training holds them: images as tensors, labels as the small boxes that they fill."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tenter.cases import case_files
from tenter.errors import DataError
from tenter.records import Label, Role

Side = Literal["moving", "fixed"]
SIDES: tuple[Side, Side] = ("moving", "fixed")

_SHARE = 0.5
"""Part of a GPU's free memory that images may fill; the rest is for the network."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Box:
    """The part of a label that is not zero.

    Attributes:
        start: its first voxel along each axis.
        values: `[x, y, z]`, 0 to 255 for 0 to 1.
    """

    start: tuple[int, ...]
    values: UInt8[Tensor, "x y z"]


@dataclass(frozen=True, slots=True)
class Case:
    """A pair as training sees it.

    Attributes:
        pair: its id.
        patients: one or two.
        images: moving and fixed, each `[c, x, y, z]` float32.
        labels: those that are there on both sides.
        boxes: for each label, moving and fixed.
    """

    pair: str
    patients: tuple[str, ...]
    images: tuple[Float[Tensor, "m x y z"], Float[Tensor, "f x y z"]]
    labels: tuple[Label, ...]
    boxes: tuple[tuple[Box, Box], ...]

    @property
    def roles(self) -> tuple[Role, ...]:
        """Roles of the labels."""
        return tuple(label.role for label in self.labels)

    def image(self, side: Side) -> Float[Tensor, "c x y z"]:
        """The image of one side."""
        return self.images[side == "fixed"]

    def paste(self, side: Side, chosen: Sequence[int], target: Float[Tensor, "l x y z"]) -> None:
        """Write chosen labels of one side, in [0, 1], into zeros; needs no word from a GPU."""
        for position, channel in zip(chosen, target, strict=False):
            box = self.boxes[position][side == "fixed"]
            place = tuple(
                slice(start, start + size) for start, size in zip(box.start, box.values.shape, strict=True)
            )
            channel[place].copy_(box.values).div_(255)


def load(
    root: Path, pairs: Sequence[str], device: torch.device, *, unlabelled: bool = False
) -> tuple[Case, ...]:
    """Read the cases that can be learnt from.

    On a GPU the images stay there where they fit; otherwise they stay memory-mapped, and the
    operating system keeps in memory what it can. Labels are small and stay on the device.

    Args:
        root: folder of all cases.
        pairs: ids.
        device: where batches are wanted.
        unlabelled: whether images alone teach something. If not, pairs without a label that both
            sides show are left out, with a warning.

    Raises:
        DataError: no pair can be learnt from, or the cases do not share one grid.
    """
    found = tuple(read(root / pair, device) for pair in pairs)
    bare = [case.pair for case in found if not case.labels]
    if bare:
        use = "learnt from by their images alone" if unlabelled else "not learnt from"
        _log.warning("%d pairs without a common label are %s: %s", len(bare), use, _some(bare))
    kept = found if unlabelled else tuple(case for case in found if case.labels)
    if not kept:
        message = (
            f"{root}: none of {len(pairs)} pairs has a label on both sides; training needs labels, "
            "or a term of `losses.images`"
        )
        raise DataError(message)
    shapes = {tuple(image.shape) for case in kept for image in case.images}
    if len({shape[1:] for shape in shapes}) > 1 or len({_channels(case) for case in kept}) > 1:
        message = f"{root}: cases differ in grid or channels ({sorted(shapes)}); prepare the images again"
        raise DataError(message)
    return _placed(kept, device)


def read(folder: Path, device: torch.device) -> Case:
    """Read one prepared case; images memory-mapped, labels cropped onto the device."""
    images = case_files.read_images(folder)
    stack = case_files.read_labels(folder)
    boxes = [
        (_box(moving, device), _box(fixed, device))
        for moving, fixed in zip(stack.moving, stack.fixed, strict=True)
    ]
    kept = [
        index for index, (moving, fixed) in enumerate(boxes) if moving.values.numel() and fixed.values.numel()
    ]
    if len(kept) < len(boxes):
        empty = [label.name for index, label in enumerate(stack.labels) if index not in kept]
        _log.warning(
            "%s: labels that one side does not show are not learnt from: %s", images.pair, _some(empty)
        )
    return Case(
        images.pair,
        tuple(images.patients),
        (_tensor(images.moving), _tensor(images.fixed)),
        tuple(stack.labels[index] for index in kept),
        tuple(boxes[index] for index in kept),
    )


def _box(label: UInt8[np.ndarray, "x y z"], device: torch.device) -> Box:
    filled = np.asarray(label) > 0
    spans = []
    for axis in range(filled.ndim):
        others = tuple(other for other in range(filled.ndim) if other != axis)
        places = np.flatnonzero(filled.any(axis=others))
        spans.append(slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0))
    values = torch.from_numpy(np.array(label[tuple(spans)], order="C"))
    return Box(tuple(span.start for span in spans), values.to(device))


def _tensor(array: Float[np.ndarray, "c x y z"]) -> Float[Tensor, "c x y z"]:
    with warnings.catch_warnings():
        # The map is read-only; torch cannot say so of a tensor, and nobody writes into a case.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def _channels(case: Case) -> tuple[int, int]:
    return case.images[0].shape[0], case.images[1].shape[0]


def _placed(found: tuple[Case, ...], device: torch.device) -> tuple[Case, ...]:
    if device.type != "cuda":
        return found
    needed = sum(image.numel() * image.element_size() for case in found for image in case.images)
    free = torch.cuda.mem_get_info(device)[0]
    if needed > _SHARE * free:
        _log.info("%.1f GB of images stay on the host: the GPU has %.1f GB free", needed / 1e9, free / 1e9)
        return found
    return tuple(
        Case(
            case.pair,
            case.patients,
            (case.images[0].contiguous().to(device), case.images[1].contiguous().to(device)),
            case.labels,
            case.boxes,
        )
        for case in found
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
