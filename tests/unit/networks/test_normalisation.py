"""Normalisation: statistics over what, and offsets."""

from __future__ import annotations

import pytest
import torch

from tenter.config.networks import Norm
from tenter.networks import normalisation

NORMS: tuple[Norm, ...] = ("instance", "group", "batch")


def test_instance_normalisation_gives_each_channel_of_each_sample_mean_0_and_variance_1() -> None:
    features = normalisation.Normalisation(3, "instance")(torch.randn(2, 3, 4, 4, 4) * 5 + 7)
    variance, mean = torch.var_mean(features, dim=(2, 3, 4), correction=0)
    torch.testing.assert_close(mean, torch.zeros(2, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(variance, torch.ones(2, 3), rtol=0, atol=1e-4)


def test_group_normalisation_runs_over_eight_groups_of_channels() -> None:
    features = normalisation.Normalisation(16, "group")(torch.randn(2, 16, 4, 4, 4) * 5 + 7)
    variance, mean = torch.var_mean(features.reshape(2, 8, -1), dim=2, correction=0)
    torch.testing.assert_close(mean, torch.zeros(2, 8), rtol=0, atol=1e-5)
    torch.testing.assert_close(variance, torch.ones(2, 8), rtol=0, atol=1e-4)


def test_batch_normalisation_uses_running_averages_in_evaluation() -> None:
    layer = normalisation.Normalisation(2, "batch")
    batch = torch.randn(8, 2, 4, 4, 4) * 5 + 7
    for _ in range(200):
        layer(batch)
    layer.eval()
    torch.testing.assert_close(layer(batch[:1]), layer(batch)[:1])
    torch.testing.assert_close(
        layer(batch).mean(dim=(0, 2, 3, 4)), torch.zeros(2), rtol=0, atol=1e-2
    )


@pytest.mark.parametrize("norm", NORMS)
def test_normalisation_learns_an_offset_and_nothing_else(norm: Norm) -> None:
    layer = normalisation.Normalisation(4, norm)
    assert [name for name, _ in layer.named_parameters()] == ["offset"]
    assert "scale" not in layer.state_dict()


@pytest.mark.parametrize("norm", NORMS)
def test_offset_is_added_after_normalisation(norm: Norm) -> None:
    layer = normalisation.Normalisation(4, norm)
    features = torch.randn(2, 4, 3, 3, 3)
    plain = layer(features)
    torch.nn.init.constant_(layer.offset, 2.5)
    torch.testing.assert_close(layer(features), plain + 2.5)


def test_a_single_voxel_passes_instance_normalisation() -> None:
    features = torch.randn(1, 4, 1, 1, 1)
    torch.testing.assert_close(normalisation.Normalisation(4, "instance")(features), features)


def test_a_single_value_passes_batch_normalisation_while_training() -> None:
    features = torch.randn(1, 4, 1, 1, 1)
    torch.testing.assert_close(normalisation.Normalisation(4, "batch")(features), features)
