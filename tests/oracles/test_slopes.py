"""O21: gradients of geometry, and of label-reg's graphs, are those of differences, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tenter import config, networks
from tenter.networks import blocks, parity
from tenter.spatial import affine, bspline, compose, integrate, jacobian, warp

SPACES = pytest.mark.parametrize("space", [(4, 5, 3), (5, 4)], ids=len)
SIZE = (6, 5, 4)
"""Voxels of graphs, whose convolutions are slow in float64."""


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_()


def right(function: Callable[..., Tensor], *inputs: Tensor) -> bool:
    """Whether slopes by every input are right; of inputs in float64."""
    assert all(part.dtype == torch.float64 for part in inputs)
    return torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-6, fast_mode=True)


@SPACES
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_o21_of_warps(space: tuple[int, ...], padding: warp.Padding) -> None:
    field = 2.5 * (random(2, len(space), *space) - 0.5)
    image = random(2, 2, *space, seed=1)
    assert right(lambda volume, moves: warp.warp(volume, moves, padding=padding), image, field)


@SPACES
def test_o21_of_one_map_after_another(space: tuple[int, ...]) -> None:
    outer, inner = (2 * (random(2, len(space), *space, seed=seed) - 0.5) for seed in (0, 1))
    assert right(compose.compose, outer, inner)


@SPACES
def test_o21_of_the_flow_of_a_velocity(space: tuple[int, ...]) -> None:
    assert right(integrate.integrate, 2 * (random(2, len(space), *space) - 0.5))


@SPACES
def test_o21_of_affine_maps(space: tuple[int, ...]) -> None:
    size = len(space) + 1
    assert right(lambda matrix: affine.displacement(matrix, space), random(2, size, size))
    assert right(affine.corner_affine, 0.4 * random(2, size, size - 1))


@SPACES
def test_o21_of_splines(space: tuple[int, ...]) -> None:
    spacing = (2.0, 1.5, 3.0)[: len(space)]
    controls = random(2, len(space), *bspline.lattice(space, spacing))
    assert right(lambda values: bspline.spline(values, spacing, space), controls)


@SPACES
def test_o21_of_determinants(space: tuple[int, ...]) -> None:
    assert right(jacobian.determinant, random(2, len(space), *space))


@SPACES
@pytest.mark.parametrize("resize", [blocks.resize, parity.resize], ids=["ours", "label-reg's"])
def test_o21_of_resizing(space: tuple[int, ...], resize: Callable[..., Tensor]) -> None:
    features = random(2, 2, *space)
    for shape in ([2 * size - 1 for size in space], [size // 2 for size in space]):
        assert right(lambda values, shape=shape: resize(values, shape), features)


@SPACES
def test_o21_of_label_regs_transposed_convolution(space: tuple[int, ...]) -> None:
    layer = (nn.ConvTranspose3d if len(space) == 3 else nn.ConvTranspose2d)(
        2, 1, 3, stride=2, bias=False
    )
    shape = [2 * size - size % 2 for size in space]
    assert right(
        lambda values: parity.transposed(layer.double(), values, shape), random(1, 2, *space)
    )


@SPACES
def test_o21_of_label_regs_affine_map(space: tuple[int, ...]) -> None:
    assert right(
        lambda rows: parity.centred_change(rows, space), random(2, len(space), len(space) + 1)
    )


LOCAL = config.LocalNetwork(channels=1, parity=True)
GLOBAL = config.GlobalNetwork(channels=1, parity=True, finest=0, size=SIZE)
COMPOSITE = config.CompositeNetwork(first=GLOBAL, second=LOCAL, parity=True)


@pytest.mark.parametrize(
    "settings", [LOCAL, GLOBAL, COMPOSITE], ids=lambda settings: str(settings.name)
)
def test_o21_of_label_regs_networks(settings: config.Network) -> None:
    torch.manual_seed(0)
    network = networks.build(settings, 2)
    for name, weight in network.named_parameters():
        if "head" in name:
            nn.init.normal_(weight, std=0.02)
    network.double()
    names = [
        name
        for name, _ in network.named_parameters()
        if "head" in name or "encoder.0.enter" in name
    ]
    weights = [network.get_parameter(name).detach().requires_grad_() for name in names]
    moving, fixed = (random(3, 1, *SIZE, seed=seed).detach() for seed in (0, 1))

    def field(*values: Tensor) -> Tensor:
        chosen = dict(zip(names, values, strict=True))
        result: Tensor = torch.func.functional_call(network, chosen, (moving, fixed))
        return result

    assert field(*weights).abs().max() > 0.01
    assert right(field, *weights)
