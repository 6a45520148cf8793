from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tenter import config, networks
from tenter.networks import outputs
from tenter.spatial import grids, jacobian

SHAPE = (16, 18, 14)
HALF = (8, 9, 7)

Dense = config.LocalNetwork | config.UNetNetwork


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def line(slope: float, cells: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Displacement along the first axis that grows from the grid's centre,
    at the cells of a grid.
    """
    places = (torch.arange(cells[0]) + 0.5) * shape[0] / cells[0] - shape[0] / 2
    field = torch.zeros(1, len(shape), *cells)
    field[0, 0] = (slope * places).view(-1, *[1] * (len(shape) - 1))
    return field


@pytest.mark.parametrize("output", ["velocity", "bspline"])
@pytest.mark.parametrize(
    "settings", [config.LocalNetwork(channels=2), config.UNetNetwork(channels=2)]
)
def test_every_output_is_zero_at_first_and_learns(settings: Dense, output: str) -> None:
    network = networks.build(settings.model_copy(update={"output": output}), 2)
    field = network(*torch.randn(2, 1, 1, *SHAPE))
    assert not field.any()
    torch.autograd.backward(field.sum())
    heads = [weight.grad for name, weight in network.named_parameters() if "head" in name]
    assert all(gradient is not None and bool(gradient.any()) for gradient in heads)


@pytest.mark.parametrize("cells", [SHAPE, HALF, (3, 4, 2), (1, 1, 1)])
def test_a_constant_head_is_a_constant_field(cells: tuple[int, ...]) -> None:
    head = torch.tensor([1.5, -2.0, 0.25]).view(1, 3, 1, 1, 1).expand(1, 3, *cells)
    expected = head[..., :1, :1, :1].expand(1, 3, *SHAPE)
    torch.testing.assert_close(outputs.flow(head, SHAPE, 7), expected)
    torch.testing.assert_close(outputs.spline([head], SHAPE, 4), expected)


def test_heads_of_several_levels_are_summed_before_they_are_integrated() -> None:
    fine, coarse = line(-0.2, HALF, SHAPE), line(-0.1, (4, 5, 4), SHAPE)
    raised = line(-0.1, HALF, SHAPE)
    found = outputs.flow(outputs.velocity([fine, coarse]), SHAPE, 7)[:, :, 5:11]
    torch.testing.assert_close(found, outputs.flow(fine + raised, SHAPE, 7)[:, :, 5:11])


@pytest.mark.parametrize("cells", [SHAPE, HALF])
def test_the_flow_of_a_contraction_is_its_exponential(cells: tuple[int, ...]) -> None:
    field = outputs.flow(line(-0.3, cells, SHAPE), SHAPE, 7)
    expected = line(math.exp(-0.3) - 1, SHAPE, SHAPE)
    inner = slice(3, -3)
    torch.testing.assert_close(field[:, :, inner], expected[:, :, inner], rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (config.UNetNetwork(channels=4), 3.0),
        (config.LocalNetwork(channels=2, levels=(2, 3, 4)), 1.0),
    ],
)
def test_velocities_do_not_fold_where_displacements_do(settings: Dense, size: float) -> None:
    folded = {}
    for output in ("displacement", "velocity"):
        torch.manual_seed(1)
        network = networks.build(settings.model_copy(update={"output": output}), 2)
        for name, weight in network.named_parameters():
            if "head" in name and weight.ndim > 1:
                nn.init.normal_(weight, std=size / math.sqrt(weight[0].numel()))
        field = network(*torch.rand(2, 2, 1, 24, 32, 22)).detach()
        folded[output] = float((jacobian.determinant(field) <= 0).float().mean())
    assert folded["displacement"] > 0.05
    assert folded["velocity"] == 0


def test_a_linear_head_is_a_linear_spline() -> None:
    field = outputs.spline([line(0.2, HALF, SHAPE)], SHAPE, 3)
    inner = slice(6, -6)
    torch.testing.assert_close(field[:, :, inner], line(0.2, SHAPE, SHAPE)[:, :, inner])


def test_a_control_point_averages_what_lies_about_it() -> None:
    head = torch.tensor([3.0, 0, 4, 0, 0]).view(1, 1, 5, 1)
    # Control points on voxels -4, -2 ... 8; of (1/2, 1, 1/2) about each,
    # those at the border of (1, 1/2).
    found = outputs.control_values(head, (7, 5), (5, 1), 2)
    torch.testing.assert_close(found[0, 0, :, 2], torch.tensor([2.0, 2, 2, 2, 0, 0, 0]))


def test_the_spline_is_smoother_than_what_its_points_are_read_from() -> None:
    head = torch.randn(1, 3, *SHAPE)
    field = outputs.spline([head], SHAPE, 4)
    bends = [values.diff(n=2, dim=2).square().mean() for values in (field, head)]
    assert bends[0] < 1e-3 * bends[1]


@pytest.mark.parametrize("output", ["velocity", "bspline"])
def test_fields_have_the_gradient_of_differences(output: str) -> None:
    head = (0.3 * torch.randn(1, 2, 4, 3, dtype=torch.float64)).requires_grad_()
    settings = config.UNetNetwork.model_validate({"output": output, "squarings": 3})
    assert torch.autograd.gradcheck(
        lambda values: outputs.Output(settings)([values], (7, 6)), (head,)
    )


@pytest.mark.parametrize("output", ["velocity", "bspline"])
def test_autocast_leaves_the_field_in_float32(output: str) -> None:
    settings = config.UNetNetwork.model_validate({"output": output, "channels": 2})
    head = torch.randn(1, 3, *HALF)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        field = outputs.Output(settings)([head], SHAPE)
    assert torch.equal(field, outputs.Output(settings)([head], SHAPE))


def test_more_squarings_come_closer_to_the_flow() -> None:
    velocity = 3 * torch.sin(
        grids.identity(SHAPE, dtype=torch.float32, device=torch.device("cpu")) / 3
    )
    exact = outputs.flow(velocity, SHAPE, 11)
    errors = [
        float((outputs.flow(velocity, SHAPE, steps) - exact).abs().max()) for steps in (2, 4, 6)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
