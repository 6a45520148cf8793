"""Segmentations of 3D Slicer whose segments overlap: several layers, each a label map of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tenter.formats.headers import Header, Segment, refusal
from tenter.formats.label_values import CONFIGURATION, Advice

SAVE = "save the segmentation again in 3D Slicer"


def are_layers(head: Header) -> bool:
    """Whether the channels of a file are layers of a segmentation."""
    return head.channels > 1 and bool(head.segments)


def require_map(path: Path, head: Header, advice: Advice = CONFIGURATION) -> None:
    """Refuse channels that are not layers where a label map is expected.

    Raises:
        DataError: saying how they can be read.
    """
    if head.channels > 1 and not head.segments:
        what = f"has {head.channels} channels but {advice.as_map}"
        fix = f"{advice.to_stack} if each channel is one label from 0 to 1, or merge them into one map"
        raise refusal(path, what, fix)


def named(head: Header) -> tuple[tuple[int, str], ...]:
    """Key and name of each segment of a label map; nothing of a file that names none."""
    if head.channels > 1:
        return tuple((key, segment.name) for key, segment in by_key(head.segments).items())
    return tuple((segment.value, segment.name) for segment in head.segments)


def by_key(segments: Sequence[Segment]) -> dict[int, Segment]:
    """The key of each segment: its label value, or where layers repeat values its number, from 1."""
    values = [segment.value for segment in segments]
    keys = values if len(set(values)) == len(values) else range(1, len(values) + 1)
    return dict(zip(keys, segments, strict=True))


def present(path: Path, head: Header, occurring: Sequence[Sequence[int]]) -> dict[int, Segment]:
    """The segments that are somewhere set, by key.

    Args:
        path: the file.
        head: its header, which names segments.
        occurring: the values of each layer but for 0.

    Raises:
        DataError: segments and layers do not fit.
    """
    places = Counter((segment.layer, segment.value) for segment in head.segments)
    for segment in head.segments:
        if segment.layer >= head.channels or segment.value < 1:
            what = (
                f"has a segment {segment.name!r} of layer {segment.layer} and label value {segment.value}, "
                f"and {head.channels} layers"
            )
            raise refusal(path, what, SAVE)
        if places[segment.layer, segment.value] > 1:
            what = f"gives several segments the label value {segment.value} in layer {segment.layer}"
            raise refusal(path, what, SAVE)
    for layer, values in enumerate(occurring):
        unnamed = [value for value in values if (layer, value) not in places]
        if unnamed:
            raise refusal(path, f"holds the value {unnamed[0]} in layer {layer}, which no segment has", SAVE)
    return {
        key: segment
        for key, segment in by_key(head.segments).items()
        if segment.value in occurring[segment.layer]
    }


def combined(segments: Mapping[int, Segment], layers: np.ndarray) -> np.ndarray:
    """All segments: a map of keys where none overlap, else one channel for each.

    Args:
        segments: by key.
        layers: whole numbers `[c, x, y, z]`.

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
