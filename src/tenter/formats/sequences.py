"""Files in which not every axis is one of space: sequences of frames, tracked or not, are no volumes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tenter.errors import DataError
from tenter.formats.headers import refusal

FRAME_POSE = re.compile(r"Seq_Frame\d+_\w*Transform", re.IGNORECASE)
"""Field by which PLUS and SlicerIGSIO give a frame its own pose."""

FRAME_FIELD = re.compile(r"Seq_Frame0*(\d+)_", re.IGNORECASE)
SEQUENCE_NAME = re.compile(r"\.igs\.(mha|mhd|nrrd|nhdr)$", re.IGNORECASE)
"""Names that PLUS and SlicerIGSIO give to sequences alone."""

RECONSTRUCT = (
    "reconstruct a volume from it first (VolumeReconstructor of PLUS, or Volume Reconstruction of "
    "SlicerIGSIO in 3D Slicer), and give that"
)


def require_volume(path: Path, fields: Mapping[str, str]) -> None:
    """Refuse a sequence of tracked frames, each of which has its own pose.

    Args:
        path: the file.
        fields: what its header says, also what programs added.

    Raises:
        DataError: saying what the file is, and how to make a volume of it.
    """
    pose = next((key for key in fields if FRAME_POSE.fullmatch(key)), None)
    if pose is not None:
        frames = len({found[1] for key in fields if (found := FRAME_FIELD.match(key))})
        what = f"is a tracked sequence of {frames} frames, each with its own pose ({pose}), and not a volume"
        raise refusal(path, what, RECONSTRUCT)
    if SEQUENCE_NAME.search(path.name):
        what = "is by its name (.igs) a sequence of tracked ultrasound frames, and not a volume"
        raise refusal(path, what, f"{RECONSTRUCT}, or rename it if it is a volume")


def not_spatial(path: Path, axis: int, kind: str) -> DataError:
    """The error for an axis that would count as one of space, and is of another kind.

    Args:
        path: the file.
        axis: counted from 0.
        kind: as in the header's `kinds`.
    """
    meaning = {"list": "a list of frames", "time": "time"}.get(kind, f"of the kind {kind}")
    what = f"axis {axis + 1} is {meaning}, not an axis of space (`kinds`)"
    fix = "give one frame alone, or a volume reconstructed from all of them"
    return refusal(path, what, fix)
