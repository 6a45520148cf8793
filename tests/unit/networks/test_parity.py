"""label-reg's graph, against a plain writing of it, against MONAI's pieces, and by hand."""

from __future__ import annotations

import pytest
import torch
from monai.networks.blocks.localnet_block import LocalNetDownSampleBlock, LocalNetUpSampleBlock
from monai.networks.nets.regunet import AffineHead
from torch import Tensor, nn
from torch.nn import functional

from tenter import config, networks
from tenter.errors import TrainingError
from tenter.networks import blocks, local, normalisation, parity
from tenter.spatial import warp

SIZE = (47, 63, 44)
SMALL = (11, 14, 12)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_local_net_has_label_regs_weights() -> None:
    with torch.device("meta"):
        network = networks.build(config.LocalNetwork(parity=True), 2)
    weights = {name: weight.numel() for name, weight in network.named_parameters()}
    assert sum(weights.values()) == 18_906_351
    # With a factor beside each offset of a normalisation they would be these.
    offsets = sum(count for name, count in weights.items() if name.endswith("offset"))
    assert sum(weights.values()) + offsets == 18_909_743


def test_global_net_has_label_regs_weights() -> None:
    with torch.device("meta"):
        network = networks.build(config.GlobalNetwork(parity=True, finest=0, size=SIZE), 2)
    weights = {name: weight.numel() for name, weight in network.named_parameters()}
    assert sum(count for name, count in weights.items() if name.startswith("head")) == 55_308
    assert sum(weights.values()) == 648_804


def test_resizing_puts_first_voxels_on_one_another() -> None:
    line = torch.tensor([10.0, 20, 30]).view(1, 1, 3, 1, 1)
    found = parity.resize(line, (6, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor([10.0, 15, 20, 25, 30, 30]))
    found = parity.resize(line, (5, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor([10.0, 16, 22, 28, 30]))


def test_transposed_voxels_of_an_even_size_begin_at_the_first() -> None:
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, bias=False)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.weight[0, 0, :, 0] = torch.tensor([1.0, 2, 3])
    features = torch.tensor([1.0, 10.0]).view(1, 1, 2, 1)
    assert parity.transposed(layer, features, (4, 2))[0, 0, :, 0].tolist() == [1, 2, 13, 20]
    assert parity.transposed(layer, features, (3, 2))[0, 0, :, 0].tolist() == [2, 13, 20]


@pytest.mark.parametrize("shape", [(6, 7, 5), (4, 3, 8)])
def test_transposed_convolution_is_the_adjoint_of_tensorflows_strided_one(
    shape: tuple[int, ...],
) -> None:
    layer = nn.ConvTranspose3d(3, 2, 3, stride=2, padding=1, bias=False).double()
    large = torch.randn(1, 2, *shape, dtype=torch.float64)
    small = torch.randn(1, 3, *[(size + 1) // 2 for size in shape], dtype=torch.float64)
    # SAME pads 2 ceil(n / 2) + 1 - n voxels in all, the smaller half of them in front.
    padding = [side for size in reversed(shape) for side in (size % 2, 1)]
    strided = functional.conv3d(functional.pad(large, padding), layer.weight, stride=2)
    raised = parity.transposed(layer, small, shape)
    torch.testing.assert_close((strided * small).sum(), (large * raised).sum())


def test_statistics_are_the_batchs_own_in_registration_too() -> None:
    layer = normalisation.Normalisation(2, "label-reg").eval()
    features = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1, 1).expand(2, 2, 2, 2, 2)
    # Mean 2 and variance 1 over both samples; TensorFlow adds 0.001.
    expected = 1 / 1.001**0.5
    assert layer(features)[:, 0, 0, 0, 0].tolist() == pytest.approx([-expected, expected])


def test_a_pair_alone_is_normalised_by_itself() -> None:
    features = torch.randn(1, 3, 4, 5, 6)
    expected = functional.instance_norm(features, eps=1e-3)
    torch.testing.assert_close(normalisation.Normalisation(3, "label-reg")(features), expected)


@pytest.mark.parametrize("levels", [(0, 1, 2, 3, 4), (0,)])
def test_local_net_is_label_regs_graph(levels: tuple[int, ...]) -> None:
    network = networks.build(config.LocalNetwork(channels=2, levels=levels, parity=True), 2)
    for name, weight in network.named_parameters():
        if "head" in name or "offset" in name:
            nn.init.normal_(weight)
    moving, fixed = torch.randn(2, 2, 1, *SMALL)
    expected = written_out(
        dict(network.named_parameters()), torch.cat([moving, fixed], dim=1), levels
    )
    torch.testing.assert_close(network(moving, fixed), expected, rtol=1e-3, atol=1e-3)


def written_out(state: dict[str, nn.Parameter], images: Tensor, levels: tuple[int, ...]) -> Tensor:
    """Local-Net as the paper's code has it, in plain operations;
    `images` is moving beside fixed.
    """
    shape, features, skips = images.shape[2:], images, []
    for level in range(4):
        at = f"encoder.{level}"
        skip = _unit(state, f"{at}.enter", features).relu()
        second = _unit(state, f"{at}.second", _unit(state, f"{at}.first", skip).relu())
        features = functional.max_pool3d((second + skip).relu(), 2, ceil_mode=True)
        skips.append(skip)
    features = _unit(state, "bottom", features).relu()
    found = [_head(state, 4, features, shape)] if 4 in levels else []
    for level in reversed(range(4)):
        at, skip = f"decoder.{3 - level}", skips[level]
        raised = _transposed(features, state[f"{at}.transposed.weight"], skip.shape[2:])
        raised = _normalised(raised, state[f"{at}.normalisation.offset"]).relu()
        one, other = _resized(features, skip.shape[2:]).chunk(2, dim=1)
        raised = raised + one + other
        second = _unit(state, f"{at}.second", _unit(state, f"{at}.first", raised).relu())
        features = (second + raised + skip).relu()
        if level in levels:
            found.append(_head(state, level, features, shape))
    return torch.stack(found).sum(dim=0)


def _unit(state: dict[str, nn.Parameter], at: str, features: Tensor) -> Tensor:
    weight = state[f"{at}.convolution.weight"]
    convolved = functional.conv3d(features, weight, padding=weight.shape[2] // 2)
    return _normalised(convolved, state[f"{at}.normalisation.offset"])


def _normalised(features: Tensor, offset: Tensor) -> Tensor:
    variance, mean = torch.var_mean(features, dim=(0, 2, 3, 4), keepdim=True, correction=0)
    return (features - mean) / (variance + 1e-3).sqrt() + offset.view(-1, 1, 1, 1)


def _head(
    state: dict[str, nn.Parameter], level: int, features: Tensor, shape: torch.Size
) -> Tensor:
    at = f"heads.{level}.convolution"
    return _resized(
        functional.conv3d(features, state[f"{at}.weight"], state[f"{at}.bias"], padding=1), shape
    )


def _resized(features: Tensor, shape: torch.Size) -> Tensor:
    """Linear in each axis between voxels floor(j n / n') and the next."""
    for axis, size in enumerate(shape, start=2):
        count = features.shape[axis]
        places = [index * count / size for index in range(size)]
        lines = []
        for place in places:
            below = int(place)
            one, other = (
                features.select(axis, min(index, count - 1)) for index in (below, below + 1)
            )
            lines.append(one + (place - below) * (other - one))
        features = torch.stack(lines, dim=axis)
    return features


def _transposed(features: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """The gradient of TensorFlow's strided convolution by what it convolves."""
    large = torch.zeros(len(features), weight.shape[1], *shape, requires_grad=True)
    padding = [side for size in reversed(shape) for side in (size % 2, 1)]
    strided = functional.conv3d(functional.pad(large, padding), weight, stride=2)
    (result,) = torch.autograd.grad(strided, large, features, create_graph=False)
    return result


def test_the_encoder_block_is_monais() -> None:
    ours, theirs = (
        blocks.ResidualDown(2, 4, "batch"),
        LocalNetDownSampleBlock(3, 2, 4, kernel_size=3),
    )
    copy_convolutions(ours, theirs)
    features = torch.randn(2, 2, 6, 8, 4)
    # MONAI forwards another skip, after the residual unit, and agrees on what goes down.
    torch.testing.assert_close(ours(features)[1], theirs(features)[0], rtol=1e-4, atol=1e-4)


def test_the_decoder_block_is_monais() -> None:
    ours, theirs = local.AdditiveUp(8, 4, "batch"), LocalNetUpSampleBlock(3, 8, 4, mode="trilinear")
    copy_convolutions(ours, theirs)
    features, skip = torch.randn(2, 8, 3, 4, 2), torch.randn(2, 4, 6, 8, 4)
    torch.testing.assert_close(ours(features, skip), theirs(features, skip), rtol=1e-4, atol=1e-4)


def copy_convolutions(source: nn.Module, target: nn.Module) -> None:
    """Weights of convolutions, in the order in which both have them."""
    pairs = [
        [layer for layer in network.modules() if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d)]
        for network in (source, target)
    ]
    for one, other in zip(*pairs, strict=True):
        other.weight.data.copy_(one.weight.data)


def test_the_affine_head_is_monais() -> None:
    network = networks.build(config.GlobalNetwork(channels=1, parity=True, finest=0, size=SMALL), 2)
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear)
    nn.init.normal_(head.weight, std=0.02)
    theirs = AffineHead(3, list(SMALL), [1, 1, 1], 16)
    theirs.fc.load_state_dict(head.state_dict())
    seen: list[Tensor] = []
    network.get_submodule("bottom").register_forward_hook(
        lambda _, __, features: seen.append(features)
    )
    field = network(*torch.randn(2, 2, 1, *SMALL))
    assert field.abs().max() > 0.1
    torch.testing.assert_close(field, theirs([seen[0]], list(SMALL)), rtol=1e-4, atol=1e-4)


def test_global_net_is_the_identity_at_first_and_turns_about_the_first_voxel() -> None:
    network = networks.build(
        config.GlobalNetwork(channels=1, parity=True, finest=0, size=(5, 4, 3)), 2
    )
    images = torch.randn(2, 1, 1, 5, 4, 3)
    assert not network(*images).any()
    with torch.no_grad():
        network.get_parameter("head.bias")[:4] += torch.tensor([0.5, 0, 0, 2])
    expected = 0.5 * torch.arange(5.0) + 2
    torch.testing.assert_close(network(*images)[0, 0, :, 1, 2], expected)


def test_global_net_refuses_another_size() -> None:
    network = networks.build(
        config.GlobalNetwork(channels=1, parity=True, finest=0, size=(5, 4, 3)), 2
    )
    with pytest.raises(TrainingError, match=r"tied to 5 x 4 x 3 voxels and the grid has 5 x 4 x 4"):
        network(*torch.randn(2, 1, 1, 5, 4, 4))


def test_composite_net_adds_displacements() -> None:
    settings = config.CompositeNetwork(
        parity=True,
        first=config.GlobalNetwork(channels=1, parity=True, finest=0, size=SMALL),
        second=config.LocalNetwork(channels=1, levels=(0,), parity=True),
    )
    network = networks.build(settings, 2)
    for name, weight in network.named_parameters():
        if "head" in name and name.endswith("bias"):
            nn.init.uniform_(weight, 0.1, 0.3)
    moving, fixed = torch.randn(2, 1, 1, *SMALL)
    placing = network.get_submodule("first")(moving, fixed)
    moved = network.get_submodule("second")(warp.warp(moving, placing), fixed)
    assert placing.any()
    torch.testing.assert_close(network(moving, fixed), placing + moved)
