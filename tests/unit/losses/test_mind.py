from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tenter.losses.mind import descriptors, mind


def _reference(image: np.ndarray, radius: int, distance: int) -> np.ndarray:
    """The descriptors voxel by voxel, as the paper says them; pairs first."""
    units = np.eye(image.ndim, dtype=int) * distance
    pairs = [
        (tuple(signs[0] * units[first]), tuple(signs[1] * units[second]))
        for first, second in itertools.combinations(range(image.ndim), 2)
        for signs in ((1, 1), (-1, -1), (-1, 1), (1, -1))
    ]
    patch = list(itertools.product(range(-radius, radius + 1), repeat=image.ndim))
    apart = np.zeros((len(pairs), *image.shape))

    def grey(place: tuple[int, ...], *steps: tuple[int, ...]) -> float:
        ends = [size - 1 for size in image.shape]
        moved = [sum(parts) for parts in zip(place, *steps, strict=True)]
        return float(
            image[tuple(min(max(index, 0), end) for index, end in zip(moved, ends, strict=True))]
        )

    for place in np.ndindex(image.shape):
        for index, (one, other) in enumerate(pairs):
            squares = [(grey(place, one, step) - grey(place, other, step)) ** 2 for step in patch]
            apart[(index, *place)] = np.mean(squares)
    apart -= apart.min(axis=0)
    variance = apart.mean(axis=0)
    kept: np.ndarray = np.clip(variance, 1e-3 * variance.mean(), 1e3 * variance.mean())
    result: np.ndarray = np.exp(-apart / kept)
    return result


@pytest.mark.parametrize(
    ("shape", "radius", "distance"), [((5, 6, 4), 1, 2), ((5, 4, 6), 0, 1), ((9, 8), 2, 1)]
)
def test_descriptors_are_those_of_the_paper(
    shape: tuple[int, ...], radius: int, distance: int
) -> None:
    image = np.random.default_rng(0).normal(size=shape)
    found = descriptors(torch.from_numpy(image)[None, None], radius, distance)
    assert found.shape[1] == (12 if len(shape) == 3 else 4)
    np.testing.assert_allclose(found[0].numpy(), _reference(image, radius, distance), rtol=1e-9)


def test_a_linear_change_of_contrast_is_not_seen() -> None:
    torch.manual_seed(0)
    fixed = torch.rand(1, 1, 10, 10, 10, dtype=torch.float64)
    inside = torch.ones(1, 1, 10, 10, 10, dtype=torch.bool)
    assert mind(3 - 2 * fixed, fixed, inside).item() == pytest.approx(0, abs=1e-12)


def test_only_differences_inside_count() -> None:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 1, 1, 12, 8, 8, dtype=torch.float64)
    inside = torch.zeros(1, 1, 12, 8, 8, dtype=torch.bool)
    inside[:, :, :3] = True
    difference = (descriptors(warped, 1, 2) - descriptors(fixed, 1, 2)).square()[:, :, :3]
    torch.testing.assert_close(mind(warped, fixed, inside)[0], difference.mean())
