"""Two maps in one."""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation

from tenter.spatial import compose, grids


def test_translations_add() -> None:
    outer = torch.full((1, 3, 4, 4, 4), 0.75)
    inner = torch.full((1, 3, 4, 4, 4), -0.25)
    torch.testing.assert_close(compose.compose(outer, inner), torch.full((1, 3, 4, 4, 4), 0.5))


def test_inner_is_applied_first() -> None:
    stretch = torch.arange(6.0).reshape(1, 1, 6, 1).expand(1, 2, 6, 6) * torch.tensor(
        [1.0, 0]
    ).reshape(1, 2, 1, 1)
    shift = torch.tensor([1.0, 0]).reshape(1, 2, 1, 1).expand(1, 2, 6, 6)
    after = compose.compose(outer=stretch, inner=shift)
    before = compose.compose(outer=shift, inner=stretch)
    assert after[0, 0, 2, 3] == 1 + 3  # 2 -> 3 -> 6
    assert before[0, 0, 2, 3] == 2 + 1  # 2 -> 4 -> 5


def test_turns_about_one_centre_compose_as_matrices() -> None:
    shape, centre = (15, 15, 15), torch.full((3,), 7.0, dtype=torch.float64)

    def turned(degrees: tuple[float, float, float]) -> tuple[torch.Tensor, torch.Tensor]:
        matrix = torch.from_numpy(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix())
        rows = matrix - torch.eye(3)
        return matrix, grids.mapped(
            torch.cat([rows, -(rows @ centre)[:, None]], dim=1)[None], shape
        )

    (first, inner), (second, outer) = turned((30, 0, 20)), turned((0, -25, 40))
    rows = second @ first - torch.eye(3)
    expected = grids.mapped(torch.cat([rows, -(rows @ centre)[:, None]], dim=1)[None], shape)
    middle = (slice(None), slice(None), *[slice(4, 11)] * 3)
    ours = compose.compose(outer, inner)
    torch.testing.assert_close(ours[middle], expected[middle], rtol=0, atol=1e-10)
