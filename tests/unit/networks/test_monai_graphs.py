"""Whole graphs of label-reg beside MONAI's, where weights can be chosen so that both mean the same.

MONAI's LocalNet and GlobalNet are DeepReg's, which differ from label-reg's code. In both, the first
residual unit has kernels of seven (label-reg: three, to which a kernel of seven with zeros around
it is equal); GlobalNet's bottom has a residual unit of its own (label-reg: none; with weights of
zero it is idle); sizes must be divisible by 16 (label-reg: any); and TensorFlow adds 0.001 to
variances (PyTorch: 0.00001). LocalNet's decoders differ in what the convolutions see, its fields
are means of heads that are enlarged by repetition (label-reg: sums, enlarged linearly); so of it
the encoder and the heads are compared here, and the decoder's block in test_parity.
"""

from __future__ import annotations

import pytest
import torch
from monai.networks.blocks.regunet_block import RegistrationExtractionBlock
from monai.networks.nets.regunet import AffineHead, GlobalNet, LocalNet
from torch import Tensor, nn

from tenter import config, networks
from tenter.networks import blocks, local, normalisation, outputs

SHAPE = (16, 16, 32)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def convolutions(network: nn.Module) -> list[nn.Conv3d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv3d)]


def copy_weights(ours: list[nn.Conv3d], theirs: list[nn.Conv3d]) -> None:
    """Weights into kernels that are as wide, or wider: then with zeros around."""
    for one, other in zip(ours, theirs, strict=True):
        margin = (other.kernel_size[0] - one.kernel_size[0]) // 2
        other.weight.data = nn.functional.pad(one.weight.data, [margin] * 6)


def add_as_tensorflow(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d):
            layer.eps = normalisation.LABELREG_EPSILON


def test_local_nets_encoder_is_monais() -> None:
    ours = networks.build(config.LocalNetwork(channels=2, levels=(4,), parity=True), 2)
    assert isinstance(ours, local.LocalNet)
    theirs = LocalNet(3, 2, 2, extract_levels=(4,))
    add_as_tensorflow(theirs)
    copy_weights(
        [*convolutions(ours.encoder), *convolutions(ours.bottom)],
        [*convolutions(theirs.encode_convs), *convolutions(theirs.bottom_block)],
    )
    for network in (ours, theirs):
        network.double()
    seen: list[Tensor] = []
    for bottom in (ours.bottom, theirs.bottom_block):
        bottom.register_forward_hook(lambda _, __, features: seen.append(features))
    moving, fixed = torch.randn(2, 2, 1, *SHAPE, dtype=torch.float64)
    ours(moving, fixed)
    theirs(torch.cat([moving, fixed], dim=1))
    assert seen[0].shape == (2, 32, 1, 1, 2)
    assert seen[0].any()
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=1e-9)


def test_global_net_is_monais_whose_bottom_is_idle() -> None:
    settings = config.GlobalNetwork(channels=2, parity=True, finest=0, size=SHAPE)
    ours = networks.build(settings, 2)
    head = ours.get_submodule("head")
    assert isinstance(head, nn.Linear)
    nn.init.normal_(head.weight, std=0.01)
    theirs = GlobalNet(list(SHAPE), 3, 2, 2, depth=4, encode_kernel_sizes=[7, 3, 3, 3, 3])
    add_as_tensorflow(theirs)
    first, *idle = convolutions(theirs.bottom_block)
    copy_weights(convolutions(ours), [*convolutions(theirs.encode_convs), first])
    for layer in idle:
        nn.init.zeros_(layer.weight)
    last = theirs.output_block
    assert isinstance(last, AffineHead)
    last.fc.load_state_dict(head.state_dict())
    for network in (ours, theirs):
        network.double()
    last.grid = last.grid.double()
    moving, fixed = torch.randn(2, 2, 1, *SHAPE, dtype=torch.float64)
    field = ours(moving, fixed)
    assert field.abs().max() > 0.5
    torch.testing.assert_close(field, theirs(torch.cat([moving, fixed], dim=1)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("levels", [(0, 1, 2, 3, 4), (1, 3)])
def test_the_field_is_as_many_times_monais_as_there_are_heads(levels: tuple[int, ...]) -> None:
    widths = [2, 4, 8, 16, 32]
    heads = {level: blocks.FieldHead(widths[level]) for level in levels}
    theirs = RegistrationExtractionBlock(
        3,
        levels,  # type: ignore[arg-type] # any number of levels
        widths,
        3,
        mode="trilinear",
        align_corners=False,
    )
    for head in heads.values():
        nn.init.normal_(head.get_parameter("convolution.weight"))
    copy_weights([convolutions(head)[0] for head in heads.values()], convolutions(theirs))
    for network in (*heads.values(), theirs):
        network.double()
    features = [
        torch.randn(2, width, *[size >> level for size in (16, 32, 16)], dtype=torch.float64)
        for level, width in enumerate(widths)
    ]
    ours = outputs.Output(config.LocalNetwork(levels=levels))(
        [heads[level](features[level]) for level in levels], (16, 32, 16)
    )
    deep_first = features[max(levels) :: -1]
    expected = len(levels) * theirs(deep_first, [16, 32, 16])
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)
