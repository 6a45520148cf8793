"""2-D images, which are volumes of one slice."""

from __future__ import annotations

from collections.abc import Sequence


def normal(shape: Sequence[int]) -> int | None:
    """The normal axis of a slice: the only axis with one voxel among three; None for a volume."""
    thin = [axis for axis, size in enumerate(shape) if size == 1]
    return thin[0] if len(thin) == 1 and len(shape) == 3 else None
