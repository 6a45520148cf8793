"""Files with non-spatial axes: sequences of frames, tracked or not, are refused as volumes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tenter.errors import DataError
from tenter.formats.headers import refusal

FRAME_POSE = re.compile(r"Seq_Frame\d+_\w*Transform", re.IGNORECASE)
"""Field in which PLUS and SlicerIGSIO store the pose of a frame."""

FRAME_FIELD = re.compile(r"Seq_Frame0*(\d+)_", re.IGNORECASE)
SEQUENCE_NAME = re.compile(r"\.igs\.(mha|mhd|nrrd|nhdr)$", re.IGNORECASE)
"""File names that PLUS and SlicerIGSIO use only for sequences."""

SPATIAL_KINDS = frozenset(("domain", "space", "???", "none", ""))
"""Kinds of axes of space, in lower case."""

RECONSTRUCT = (
    "reconstruct a volume from it first (VolumeReconstructor of PLUS, or Volume Reconstruction of "
    "SlicerIGSIO in 3D Slicer), and give that"
)


def require_volume(path: Path, fields: Mapping[str, str]) -> None:
    """Refuse a sequence of tracked frames, each with its own pose.

    Args:
        path: the file.
        fields: fields of its header, including those that programs added.

    Raises:
        DataError: it is a sequence; the message states how to reconstruct a volume from it.
    """
    pose = next((key for key in fields if FRAME_POSE.fullmatch(key)), None)
    if pose is not None:
        frames = len({match[1] for key in fields if (match := FRAME_FIELD.match(key))})
        message = (
            f"is a tracked sequence of {frames} frames, each with its own pose ({pose}), "
            "and not a volume"
        )
        raise refusal(path, message, RECONSTRUCT)
    if SEQUENCE_NAME.search(path.name):
        message = "is a sequence of tracked ultrasound frames by its name (.igs), and not a volume"
        raise refusal(path, message, f"{RECONSTRUCT}, or rename it if it is a volume")


def not_spatial(path: Path, axis: int, kind: str) -> DataError:
    """The error for an axis that should be spatial but is of another kind.

    Args:
        path: the file.
        axis: index from 0.
        kind: as in `kinds` of the header.
    """
    meaning = {"list": "a list of frames", "time": "time"}.get(kind, f"of the kind {kind}")
    message = f"axis {axis + 1} is {meaning}, not an axis of space (`kinds`)"
    fix = "give one frame alone, or a volume reconstructed from all of them"
    return refusal(path, message, fix)
