"""Losses in mm depend on the deformation and the anatomy, not on voxels:
neither their size nor their order.

One smooth field, or one label, is sampled on grids of different anisotropy; every loss in mm
must come out alike but for what sampling costs, which shrinks with the square of the voxel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from strategies import seeds, spacings
from tenter import config, losses
from tenter.losses.bending import bending
from tenter.losses.gradient import gradient
from tenter.tensors import Scalar

PERIOD_MM = 48.0
WAVE = 2 * np.pi / PERIOD_MM
"""Angle a mm of a wave that fits once into the box."""
GRIDS = [(2.0, 2.0, 2.0), (1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 4.0, 1.0), (1.5, 1.0, 4.0)]
Spacing = tuple[float, float, float]

WAVES: dict[tuple[int, int, int], tuple[float, float, float]] = {
    (1, 0, 1): (1.5, -0.7, 0.4),
    (0, 1, 1): (0.3, 1.1, -2.0),
    (1, 1, 0): (-0.6, 0.5, 0.9),
}
"""Waves along x, y, z in the box, and the displacement of each, mm."""


def places(spacing: Spacing, margin: int, length: float = PERIOD_MM) -> list[Tensor]:
    """Where the voxels of a box lie, mm; so many of them are added at either end."""
    lines = [
        step * (torch.arange(-margin, round(length / step) + margin, dtype=torch.float64) + 0.5)
        for step in spacing
    ]
    return list(torch.meshgrid(*lines, indexing="ij"))


def waves(spacing: Spacing, margin: int) -> Tensor:
    """The field of `WAVES` in voxels, its inner voxels over whole periods."""
    x, y, z = places(spacing, margin)
    total = torch.zeros(3, *x.shape, dtype=torch.float64)
    for (i, j, k), moves in WAVES.items():
        phase = torch.sin(WAVE * (i * x + j * y + k * z) + i)
        total += torch.tensor(moves, dtype=torch.float64).reshape(3, 1, 1, 1) * phase
    return (total / torch.tensor(spacing, dtype=torch.float64).reshape(3, 1, 1, 1))[None]


def by_hand(order: int, spacing: Spacing | None = None) -> float:
    """Mean over components and space of all squared derivatives of an order: A^2 |K|^(2 order) / 2.

    A central difference of a wave with angle K a mm has sin(K h) / h in the place of K.
    """
    total = 0.0
    for wave, moves in WAVES.items():
        angles = [WAVE * k for k in wave]
        if spacing is not None:
            angles = [
                np.sin(angle * step) / step for angle, step in zip(angles, spacing, strict=True)
            ]
        total += sum(move**2 for move in moves) / 3 * sum(angle**2 for angle in angles) ** order / 2
    return total


ENERGIES: dict[str, tuple[Callable[[Tensor, Spacing], Scalar], int]] = {
    "bending": (bending, 2),
    "gradient": (gradient, 1),
}
"""The energy, and the order of its derivatives: it leaves out as many voxels at each end."""


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_in_mm_is_the_analytic_one_on_any_grid(name: str, spacing: Spacing) -> None:
    energy, order = ENERGIES[name]
    found = energy(waves(spacing, order), spacing).item()
    assert found == pytest.approx(by_hand(order, spacing), rel=1e-9)
    # Each of 2 x order differences loses a sixth of the squared angle between voxels.
    lost = 2 * order * (WAVE * max(spacing)) ** 2 / 6
    assert found == pytest.approx(by_hand(order), rel=lost)
    assert lost < 0.2


@pytest.mark.parametrize("name", ENERGIES)
def test_halving_the_voxels_leaves_a_quarter_of_the_error(name: str) -> None:
    energy, order = ENERGIES[name]
    grids: list[Spacing] = [(2.0, 3.0, 4.0), (1.0, 1.5, 2.0)]
    errors = [by_hand(order) - energy(waves(spacing, order), spacing).item() for spacing in grids]
    assert 0 < errors[1] < 0.04 * by_hand(order)
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("name", ENERGIES)
def test_in_voxels_the_grid_decides(name: str) -> None:
    """So the tests above could fail."""
    energy, order = ENERGIES[name]
    grids: list[Spacing] = [(2.0, 2.0, 2.0), (1.0, 2.0, 4.0)]
    values = [energy(waves(spacing, order), (1.0, 1.0, 1.0)).item() for spacing in grids]
    assert max(values) > 1.2 * min(values)


@pytest.mark.parametrize("spacing", GRIDS)
def test_absolute_gradients_in_mm_do_not_depend_on_the_grid(spacing: Spacing) -> None:
    fine: Spacing = (1.0, 1.0, 1.0)
    found = gradient(waves(spacing, 1), spacing, "l1").item()
    assert found == pytest.approx(gradient(waves(fine, 1), fine, "l1").item(), rel=0.05)


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("name", ["bending", "gradient"])
def test_a_quadratic_field_costs_exactly_the_same_on_any_grid(name: str, spacing: Spacing) -> None:
    """Its differences have no error; for the gradient the field is linear."""
    x, y, z = places(spacing, 0)
    moves = [
        0.01 * x**2 - 0.02 * x * y,
        0.03 * y * z + 0.01 * z**2,
        0.02 * z**2 - 0.01 * x * z + 0.5 * y,
    ]
    if name == "gradient":
        moves = [0.2 * x - 0.1 * z, 0.3 * z + 0.1 * y, -0.4 * x + 0.5 * y]
    field = torch.stack([move / step for move, step in zip(moves, spacing, strict=True)])[None]
    term = losses.regulariser(config_of(name), spacing)
    # Squares of second derivatives, mixed ones twice; then of first ones.
    value = {
        "bending": (0.02**2 + 2 * 0.02**2 + 2 * 0.03**2 + 0.02**2 + 0.04**2 + 2 * 0.01**2) / 3,
        "gradient": (0.2**2 + 0.1**2 + 0.3**2 + 0.1**2 + 0.4**2 + 0.5**2) / 3,
    }
    assert term(field).item() == pytest.approx(value[name], rel=1e-9)


def config_of(name: str, **options: object) -> config.Regulariser:
    return config.Losses.model_validate(
        {"regularisers": [{"name": name, **({"units": "mm"} | options)}]}
    ).regularisers[0]


def ball(spacing: Spacing, centre: tuple[float, float, float], radius: float) -> Tensor:
    """A label with an edge of 6 mm in a box of 48 mm, `[1, 1, x, y, z]`."""
    axes = zip(places(spacing, 0), centre, strict=True)
    distance = torch.stack([(axis - place) ** 2 for axis, place in axes]).sum(dim=0).sqrt()
    return torch.sigmoid((radius - distance) / 1.5)[None, None]


def label_term(name: str, spacing: Spacing, **options: object) -> float:
    """A loss of two balls a few mm apart."""
    warped, fixed = ball(spacing, (22, 25, 24), 9), ball(spacing, (26, 22.5, 25), 8)
    chosen = config.Losses.model_validate({"labels": [{"name": name, **options}]}).labels[0]
    return losses.label_loss(chosen, spacing)(
        warped, fixed, torch.ones(1, 1, dtype=torch.float64)
    ).item()


@pytest.mark.parametrize("spacing", [(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (1.5, 2.0, 1.0)])
@pytest.mark.parametrize("kernel", ["gaussian", "cauchy"])
@pytest.mark.parametrize("scale", [0.0, 4.0, 8.0])
@pytest.mark.parametrize("name", ["dice", "jaccard", "cross_entropy", "mean_squared"])
def test_label_scales_in_mm_do_not_depend_on_the_grid(
    name: str, scale: float, kernel: str, spacing: Spacing
) -> None:
    options = {"scales_mm": [scale], "kernel": kernel}
    fine = label_term(name, (1.0, 1.0, 1.0), **options)
    assert label_term(name, spacing, **options) == pytest.approx(fine, rel=0.05)


def test_label_scales_change_the_loss_by_more_than_that() -> None:
    values = [label_term("dice", (1.0, 1.0, 1.0), scales_mm=[scale]) for scale in (0.0, 4.0, 8.0)]
    assert all(abs(one - other) > 0.1 * other for one, other in itertools.pairwise(values))


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize(
    ("norm", "value"), [("squared", 4**2 + 2.5**2 + 1), ("smooth_l1", 23.25**0.5 - 0.5)]
)
def test_distances_of_centroids_do_not_depend_on_the_grid(
    spacing: Spacing, norm: str, value: float
) -> None:
    assert label_term("centroid", spacing, norm=norm) == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize("spacing", GRIDS)
def test_inverse_consistency_in_mm_does_not_depend_on_the_grid(spacing: Spacing) -> None:
    values = []
    for grid in (spacing, (1.0, 1.0, 1.0)):
        there = waves(grid, 0)
        term = losses.regulariser(config_of("inverse_consistency"), grid)
        values.append(term(there, -0.5 * there).item())
    assert values[0] == pytest.approx(values[1], rel=0.05)
    assert values[1] > 0.5


def turned(values: Tensor, order: list[int], flips: list[bool], *, vectors: bool = False) -> Tensor:
    """The same voxels `[b, c, x, y, z]` with their axes in another order and direction."""
    result = values.permute(0, 1, *(axis + 2 for axis in order)).flip(
        [axis + 2 for axis, flip in enumerate(flips) if flip]
    )
    if not vectors:
        return result
    signs = torch.tensor([-1.0 if flip else 1.0 for flip in flips], dtype=values.dtype)
    return result[:, order] * signs.reshape(1, 3, 1, 1, 1)


SPACINGS = spacings(0.5, 4)
ORDERS = st.permutations(range(3))
FLIPS = st.lists(st.booleans(), min_size=3, max_size=3)
FEW = settings(max_examples=15, deadline=None)


def random(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    "chosen",
    [
        {"name": "bending"},
        {"name": "gradient"},
        {"name": "gradient", "norm": "l1"},
        {"name": "bending", "units": "voxel"},
        {"name": "gradient", "units": "voxel", "norm": "l1"},
        {"name": "folding", "margin": 0.5},
        {"name": "inverse_consistency"},
    ],
    ids=lambda chosen: "-".join(map(str, chosen.values())),
)
@FEW
@given(seed=seeds, spacing=SPACINGS, order=ORDERS, flips=FLIPS)
def test_what_a_field_costs_does_not_depend_on_storage(
    chosen: dict[str, object], seed: int, spacing: Spacing, order: list[int], flips: list[bool]
) -> None:
    settings = config.Losses.model_validate({"regularisers": [chosen]}).regularisers[0]
    fields = [2 * random(seed + index, 1, 3, 6, 7, 5) - 1 for index in range(2)]
    fields = fields if chosen["name"] == "inverse_consistency" else fields[:1]
    again = [turned(field, order, flips, vectors=True) for field in fields]
    there = losses.regulariser(settings, spacing)(*fields)
    back = losses.regulariser(settings, [spacing[axis] for axis in order])(*again)
    torch.testing.assert_close(back, there, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "chosen",
    [
        *(
            {"name": name, "scales_mm": [0.0, 2.0, 5.0], "kernel": kernel}
            for name, kernel in itertools.product(
                ["dice", "generalised_dice", "jaccard", "cross_entropy", "mean_squared"],
                ["gaussian", "cauchy"],
            )
        ),
        {"name": "centroid"},
    ],
    ids=lambda chosen: "-".join(map(str, chosen.values())),
)
@FEW
@given(seed=seeds, spacing=SPACINGS, order=ORDERS, flips=FLIPS)
def test_how_unlike_labels_are_does_not_depend_on_storage(
    chosen: dict[str, object], seed: int, spacing: Spacing, order: list[int], flips: list[bool]
) -> None:
    settings = config.Losses.model_validate({"labels": [chosen]}).labels[0]
    warped, fixed = random(seed, 2, 1, 2, 6, 7, 5)
    weights = torch.ones(1, 2, dtype=torch.float64)
    there = losses.label_loss(settings, spacing)(warped, fixed, weights)
    turns = (turned(warped, order, flips), turned(fixed, order, flips), weights)
    back = losses.label_loss(settings, [spacing[axis] for axis in order])(*turns)
    torch.testing.assert_close(back, there, rtol=1e-9, atol=1e-12)
