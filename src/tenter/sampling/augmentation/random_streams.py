"""Random numbers by key: stateless, with independent streams."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


class Stream(enum.IntEnum):
    """Purposes of random numbers; each has its own stream, whose number must never change."""

    ORDER = 0
    LABELS = 1
    CORNERS = 2
    MIRROR = 3
    POSE = 4
    CONTROLS = 5
    BLUR = 6
    BIAS = 7
    GAMMA = 8
    GAIN = 9
    OFFSET = 10
    NOISE = 11
    NOISE_SEED = 12
    PARTNERS = 13
    TEST_POSES = 14


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a training's random numbers.

    Attributes:
        seed: of the training.
        fold: a number that stands for the fold.
    """

    seed: int
    fold: int

    @classmethod
    def of(cls, seed: int, fold: str) -> Source:
        """The source of a training's seed and fold."""
        return cls(seed, int.from_bytes(hashlib.sha256(fold.encode()).digest()[:8]))

    def uniform(
        self, shape: tuple[int, ...], stream: Stream, *position: int
    ) -> Float[np.ndarray, "..."]:
        """Numbers in (0, 1) from the raw Philox stream, which NumPy guarantees never to change.

        Args:
            shape: of the result.
            stream: the purpose of the numbers.
            position: in the training: step or pass, and side.

        Returns:
            float64; equal for equal arguments, on any machine.
        """
        key = (self.seed, self.fold, int(stream), *position)
        raw = np.random.Philox(np.random.SeedSequence(key)).random_raw(int(np.prod(shape)))
        result: Float[np.ndarray, "..."] = ((raw >> np.uint64(11)) + 0.5) * 2.0**-53
        return result.reshape(shape)

    def symmetric(
        self, shape: tuple[int, ...], stream: Stream, *position: int
    ) -> Float[np.ndarray, "..."]:
        """Numbers in (-1, 1); otherwise as `uniform`."""
        result: Float[np.ndarray, "..."] = 2 * self.uniform(shape, stream, *position) - 1
        return result
