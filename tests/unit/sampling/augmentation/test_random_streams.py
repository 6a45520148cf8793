"""Numbers by key: fixed for ever, and strangers to one another."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstest

from tenter.sampling.augmentation.random_streams import Source, Stream

SOURCE = Source.of(7, "2")


def test_numbers_are_the_same_on_every_machine_and_version() -> None:
    assert SOURCE.uniform((2,), Stream.CORNERS, 11).round(6).tolist() == [0.03619, 0.272822]


def test_no_two_streams_share_a_number() -> None:
    drawn = np.concatenate([SOURCE.uniform((50,), stream, 3) for stream in Stream])
    assert len(set(drawn.tolist())) == 50 * len(Stream)


def test_uniform_numbers_are_uniform() -> None:
    assert kstest(SOURCE.uniform((100, 50), Stream.NOISE, 0).ravel(), "uniform").pvalue > 0.01


def test_symmetric_numbers_lie_about_nought() -> None:
    drawn = SOURCE.symmetric((5000,), Stream.GAIN, 0)
    assert -1 < drawn.min() < -0.99
    assert 0.99 < drawn.max() < 1
    assert abs(drawn.mean()) < 0.03
