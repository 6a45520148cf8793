"""Prepared cases in memory for training: images as tensors, labels as their bounding boxes."""

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
from tenter.records import Fault, Label, Role

Side = Literal["moving", "fixed"]
SIDES: tuple[Side, Side] = ("moving", "fixed")

_SHARE = 0.5
"""Fraction of a GPU's free memory that images may fill; the rest is for the network."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Box:
    """The bounding box of a label's non-zero voxels.

    Attributes:
        start: its first voxel along each axis.
        values: `[x, y, z]`, 0 to 255 for 0 to 1.
    """

    start: tuple[int, ...]
    values: UInt8[Tensor, "x y z"]


@dataclass(frozen=True, slots=True)
class Case:
    """A pair in memory for training.

    Attributes:
        pair: its id.
        patients: one or two.
        images: moving and fixed, each `[c, x, y, z]` float32.
        labels: labels that are present on both sides.
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
        """Write chosen labels of one side, in [0, 1], into zeros; no synchronisation with a GPU."""
        for position, channel in zip(chosen, target, strict=False):
            box = self.boxes[position][side == "fixed"]
            window = tuple(
                slice(start, start + size)
                for start, size in zip(box.start, box.values.shape, strict=True)
            )
            channel[window].copy_(box.values).div_(255)


def load(
    root: Path, pairs: Sequence[str], device: torch.device, *, unlabelled: bool = False
) -> tuple[Case, ...]:
    """Read the cases that are usable for training.

    With a GPU, images are kept on it if they fit; otherwise they stay memory-mapped, and the
    operating system caches what it can. Labels are small and stay on the device.

    Args:
        root: folder of all cases.
        pairs: ids.
        device: device of the batches.
        unlabelled: whether pairs can be learnt from by their images alone. If not, pairs without
            a label on both sides are left out, with a warning.

    Raises:
        DataError: no pair is usable for training, or the cases do not share one grid.
    """
    cases = tuple(read(root / pair, device) for pair in pairs)
    without_labels = [case.pair for case in cases if not case.labels]
    if without_labels:
        use = "learnt from by their images alone" if unlabelled else "not learnt from"
        _log.warning(
            "%d pairs without a common label are %s: %s",
            len(without_labels),
            use,
            _some(without_labels),
        )
    usable = cases if unlabelled else tuple(case for case in cases if case.labels)
    if not usable:
        message = f"none of {len(pairs)} pairs has a label on both sides"
        fix = "give labels to train with, or a term of `losses.images`"
        raise DataError(Fault(str(root), message, fix))
    shapes = {tuple(image.shape) for case in usable for image in case.images}
    if len({shape[1:] for shape in shapes}) > 1 or len({_channels(case) for case in usable}) > 1:
        message = f"cases differ in grid or channels ({sorted(shapes)})"
        raise DataError(Fault(str(root), message, "prepare the images again"))
    return _placed(usable, device)


def read(folder: Path, device: torch.device) -> Case:
    """Read one prepared case; images memory-mapped, labels cropped onto the device."""
    images = case_files.read_images(folder)
    stack = case_files.read_labels(folder)
    boxes = [
        (_box(moving, device), _box(fixed, device))
        for moving, fixed in zip(stack.moving, stack.fixed, strict=True)
    ]
    shared = [
        index
        for index, (moving, fixed) in enumerate(boxes)
        if moving.values.numel() and fixed.values.numel()
    ]
    if len(shared) < len(boxes):
        empty = [label.name for index, label in enumerate(stack.labels) if index not in shared]
        _log.warning(
            "%s: labels that one side does not show are not learnt from: %s",
            images.pair,
            _some(empty),
        )
    return Case(
        images.pair,
        tuple(images.patients),
        (_tensor(images.moving), _tensor(images.fixed)),
        tuple(stack.labels[index] for index in shared),
        tuple(boxes[index] for index in shared),
    )


def _box(label: UInt8[np.ndarray, "x y z"], device: torch.device) -> Box:
    filled = np.asarray(label) > 0
    spans = []
    for axis in range(filled.ndim):
        across = tuple(index for index in range(filled.ndim) if index != axis)
        filled_indices = np.flatnonzero(filled.any(axis=across))
        spans.append(
            slice(int(filled_indices[0]), int(filled_indices[-1]) + 1)
            if len(filled_indices)
            else slice(0, 0)
        )
    values = torch.from_numpy(np.array(label[tuple(spans)], order="C"))
    return Box(tuple(span.start for span in spans), values.to(device))


def _tensor(array: Float[np.ndarray, "c x y z"]) -> Float[Tensor, "c x y z"]:
    with warnings.catch_warnings():
        # The memory map is read-only, which a tensor cannot be; nothing writes into a case.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def _channels(case: Case) -> tuple[int, int]:
    return case.images[0].shape[0], case.images[1].shape[0]


def _placed(cases: tuple[Case, ...], device: torch.device) -> tuple[Case, ...]:
    if device.type != "cuda":
        return cases
    needed = sum(image.numel() * image.element_size() for case in cases for image in case.images)
    free = torch.cuda.mem_get_info(device)[0]
    if needed > _SHARE * free:
        _log.info(
            "%.1f GB of images stay on the host: the GPU has %.1f GB free", needed / 1e9, free / 1e9
        )
        return cases
    return tuple(
        Case(
            case.pair,
            case.patients,
            (case.images[0].contiguous().to(device), case.images[1].contiguous().to(device)),
            case.labels,
            case.boxes,
        )
        for case in cases
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
