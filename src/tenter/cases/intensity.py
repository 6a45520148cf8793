"""Intensity normalisation, which makes values comparable between patients and scanners."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from tenter.errors import DataError
from tenter.records import Fault


def normalised(
    image: Float32[np.ndarray, "c x y z"], rule: str, name: str
) -> Float32[np.ndarray, "c x y z"]:
    """Normalise each channel separately, by the statistics of all its voxels.

    Args:
        image: finite values.
        rule: `zscore` (mean 0, standard deviation 1), `minmax` (to [0, 1]) or `percentile`
            (1st to 99th to [0, 1], clipped).
        name: of the image, for the error message.

    Raises:
        DataError: a channel is constant, or constant between its percentiles.
    """
    return np.stack([_channel(channel, rule, name) for channel in image])


def _channel(values: np.ndarray, rule: str, name: str) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low == high:
        message = f"is constant (every voxel {low:g}), nothing can be registered to it"
        raise DataError(Fault(name, message, "give another image"))
    if rule == "zscore":
        centred: np.ndarray = np.subtract(values, values.mean(dtype=np.float64), dtype=np.float64)
        centred /= np.sqrt(np.vdot(centred, centred) / centred.size)
        return centred.astype(np.float32)
    if rule == "percentile":
        low, high = (float(limit) for limit in np.percentile(values, (1, 99)))
        if low == high:
            message = f"98 % of its voxels are {low:g}"
            raise DataError(Fault(name, message, "set plan.intensity to zscore or minmax"))
    scaled = (values.astype(np.float64) - low) / (high - low)
    return np.clip(scaled, 0, 1).astype(np.float32)
