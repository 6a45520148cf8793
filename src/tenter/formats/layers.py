"""Segmentations of 3D Slicer with overlapping segments: several layers, each a label map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tenter.formats.headers import Header, Segment, refusal
from tenter.formats.label_values import CONFIGURATION, Advice

SAVE = "save the segmentation again in 3D Slicer"


def are_layers(header: Header) -> bool:
    """Whether the channels of a file are layers of a segmentation."""
    return header.channels > 1 and bool(header.segments)


def require_map(path: Path, header: Header, advice: Advice = CONFIGURATION) -> None:
    """Refuse channels that are not layers where a label map is expected.

    Raises:
        DataError: the channels are not layers; the message states how to read them.
    """
    if header.channels > 1 and not header.segments:
        message = f"has {header.channels} channels but {advice.as_map}"
        fix = (
            f"{advice.to_stack} if each channel is one label from 0 to 1, "
            "or merge them into one map"
        )
        raise refusal(path, message, fix)


def named(header: Header) -> tuple[tuple[int, str], ...]:
    """Key and name of each segment of a label map; empty for a file without names."""
    if header.channels > 1:
        return tuple((key, segment.name) for key, segment in by_key(header.segments).items())
    return tuple((segment.value, segment.name) for segment in header.segments)


def by_key(segments: Sequence[Segment]) -> dict[int, Segment]:
    """The segments by key: the label value, or the number from 1 if layers repeat values."""
    values = [segment.value for segment in segments]
    keys = values if len(set(values)) == len(values) else range(1, len(values) + 1)
    return dict(zip(keys, segments, strict=True))


def present(path: Path, header: Header, occurring: Sequence[Sequence[int]]) -> dict[int, Segment]:
    """The segments that have voxels, by key.

    Args:
        path: the file.
        header: its header, which names segments.
        occurring: the values of each layer, except 0.

    Raises:
        DataError: the segments do not match the layers.
    """
    counts = Counter((segment.layer, segment.value) for segment in header.segments)
    for segment in header.segments:
        if segment.layer >= header.channels or segment.value < 1:
            message = (
                f"has a segment {segment.name!r} of layer {segment.layer} and label value "
                f"{segment.value}, and {header.channels} layers"
            )
            raise refusal(path, message, SAVE)
        if counts[segment.layer, segment.value] > 1:
            message = (
                f"gives several segments the label value {segment.value} in layer {segment.layer}"
            )
            raise refusal(path, message, SAVE)
    for layer, values in enumerate(occurring):
        unnamed = [value for value in values if (layer, value) not in counts]
        if unnamed:
            raise refusal(
                path, f"holds the value {unnamed[0]} in layer {layer}, which no segment has", SAVE
            )
    return {
        key: segment
        for key, segment in by_key(header.segments).items()
        if segment.value in occurring[segment.layer]
    }


def combined(segments: Mapping[int, Segment], layers: np.ndarray) -> np.ndarray:
    """All segments: a map of keys where none overlap, else one channel for each.

    Args:
        segments: by key.
        layers: integers `[c, x, y, z]`.

    Returns:
        int32 `[x, y, z]`, or float32 `[l, x, y, z]` in the order of `segments`.
    """
    masks = {key: layers[segment.layer] == segment.value for key, segment in segments.items()}
    covered = np.zeros(layers.shape[1:], np.uint16)
    merged = np.zeros(layers.shape[1:], np.int32)
    for key, mask in masks.items():
        covered += mask
        merged[mask] = key
    if covered.max(initial=0) <= 1:
        return merged
    return np.stack([mask.astype(np.float32) for mask in masks.values()])
