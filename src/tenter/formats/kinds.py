"""The kind of a volume's file, where it is certain: an image, a label map or a stack of labels.

A file is recognised as an image or as labels by its metadata, or by values that the other kind
cannot have. Values alone never show that a file holds labels: photon counts, 8-bit ultrasound and
binary images look the same.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tenter.errors import InputError
from tenter.formats import dicom, nifti, nrrd_files
from tenter.formats.label_values import MAX_LABELS, ROUNDING
from tenter.records import Fault

Kind = Literal["image", "labels", "stack"]

LABEL_INTENTS = {1002: "NIFTI_INTENT_LABEL", 1005: "NIFTI_INTENT_NEURONAME"}
STATISTICS = range(2, 25)
"""Intent codes of statistics (correlations, scores, p-values): images, whatever their values."""

VECTORS = frozenset((1004, 1005, 1006, 1007, 1008, 1009, *range(2006, 2010), 2016, 2017, 2018))
VECTORS -= set(LABEL_INTENTS)
"""Intent codes of matrices, displacements, vectors, point sets and FSL warps."""

SEGMENTATION = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.66\.[47](?![0-9.])")
"""DICOM classes of segmentations: binary, fractional, and label maps."""

AGREEMENT = 0.5
"""Share of equal neighbours below which more than `MAX_LABELS` values are not regions."""


class Finding(NamedTuple):
    """The kind of a file, and the evidence for it."""

    kind: Kind
    reason: str


def marked(path: Path) -> Finding | None:
    """The kind that the metadata of a file state; None if they state none.

    Args:
        path: file or folder of a volume.

    Raises:
        InputError: the metadata state a kind that is neither an image nor supported labels.
    """
    if path.is_dir():
        return _marked_dicom(path)
    name = path.name.lower()
    if name.endswith(nifti.SUFFIXES):
        return _marked_nifti(path)
    return _marked_nrrd(path) if name.endswith((".nrrd", ".nhdr")) else None


def numbered(values: np.ndarray) -> Finding | None:
    """The kind that the values of a volume imply; None if they allow both an image and labels.

    Args:
        values: `[c, x, y, z]`, finite.
    """
    low = float(values.min())
    if low < -ROUNDING:
        return Finding("image", f"it holds negative numbers, from {low:g}")
    if not are_whole(values):
        return Finding("image", "it holds fractions")
    count = distinct(values)
    if count > MAX_LABELS and _agreement(values) < AGREEMENT:
        return Finding("image", f"it holds {count} different numbers, most unlike their neighbours")
    return None


def are_whole(values: np.ndarray) -> bool:
    """Whether all values are integers, within the rounding error of scaling."""
    return values.dtype.kind != "f" or bool((np.abs(values - np.rint(values)) <= ROUNDING).all())


def integers(values: np.ndarray) -> np.ndarray:
    """Integers in a type of at most 32 bits: that of the values, or the smallest that holds them.

    Args:
        values: whole numbers, as tested by `are_whole`.

    Raises:
        ValueError: the values need more than 32 bits.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 4:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    low, high = int(np.rint(values.min())), int(np.rint(values.max()))
    dtype = np.result_type(np.min_scalar_type(min(low, 0)), np.min_scalar_type(max(high, 0)))
    if dtype.itemsize > 4 or dtype.kind == "f":
        message = f"whole numbers from {low} to {high} need more than 32 bits"
        raise ValueError(message)
    rounded: np.ndarray = np.rint(values).astype(dtype)
    return rounded


def distinct(values: np.ndarray) -> int:
    """Number of distinct integers in a volume."""
    low, high = int(np.rint(values.min())), int(np.rint(values.max()))
    if high - low > 2**20:
        return len(np.unique(np.rint(values)))
    seen = np.zeros(high - low + 1, dtype=np.bool_)
    for channel in values:
        seen[np.rint(channel).astype(np.int64) - low] = True
    return int(np.count_nonzero(seen))


def _marked_dicom(path: Path) -> Finding:
    with dicom.parts(path)[0].open("rb") as stream:
        start = stream.read(2048)
    if SEGMENTATION.search(start):
        fix = (
            "convert it to NIfTI (dcmqi: segimage2itkimage), and give the result with --kind labels"
        )
        raise _refusal(path, "is a DICOM segmentation, which is not read", fix)
    return Finding("image", "it is a DICOM series")


def _marked_nifti(path: Path) -> Finding | None:
    code = nifti.intent(path).code
    if code in LABEL_INTENTS:
        return Finding("labels", f"its intent code is {code}, {LABEL_INTENTS[code]}")
    if code in STATISTICS:
        return Finding("image", f"its intent code is {code}, a statistic")
    if code in VECTORS:
        fix = (
            "apply it with --transform if it is a transform; --kind image resamples each component "
            "separately, as if it were an image"
        )
        raise _refusal(
            path, f"holds vectors (intent code {code}), which would have to be rotated as well", fix
        )
    return None


def _marked_nrrd(path: Path) -> Finding | None:
    pairs = nrrd_files.pairs(path)
    if not any(re.fullmatch(r"Segment\d+_(ID|LabelValue)", key) for key in pairs):
        return None
    representation = pairs.get("Segmentation_SourceRepresentation") or pairs.get(
        "Segmentation_MasterRepresentation", ""
    )
    if "fractional" in representation.lower():
        fix = (
            "export it as a binary label map in 3D Slicer, or give --kind image to read it linearly"
        )
        raise _refusal(path, "is a fractional segmentation of 3D Slicer", fix)
    return Finding("labels", "it is a segmentation of 3D Slicer")


def _refusal(path: Path, message: str, fix: str) -> InputError:
    return InputError([Fault(str(path), message, fix)])


def _agreement(values: np.ndarray) -> float:
    """Share of pairs of neighbouring voxels, not both 0, that are equal."""
    pairs = same = 0
    for axis in (1, 2, 3):
        size = values.shape[axis]
        first, second = values.take(range(size - 1), axis), values.take(range(1, size), axis)
        counted = (first != 0) | (second != 0)
        pairs += int(np.count_nonzero(counted))
        same += int(np.count_nonzero((first == second) & counted))
    return same / max(pairs, 1)
