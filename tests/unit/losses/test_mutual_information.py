from __future__ import annotations

import math

import pytest
import torch
from monai.losses.image_dissimilarity import GlobalMutualInformationLoss
from torch import Tensor

from tenter.losses import mutual_information as module
from tenter.losses.mutual_information import mutual_information


def _images() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 2, 1, 8, 9, 7, dtype=torch.float64)
    warped = warped + fixed
    low, high = (
        warped.amin(dim=(1, 2, 3, 4), keepdim=True),
        warped.amax(dim=(1, 2, 3, 4), keepdim=True),
    )
    warped = (warped - low) / (high - low)
    fixed[:, :, 0, 0, 0], fixed[:, :, 0, 0, 1] = 0, 1  # from 0 to 1, as MONAI wants them
    return warped, fixed, torch.ones(2, 1, 8, 9, 7, dtype=torch.bool)


def test_it_agrees_with_monai() -> None:
    warped, fixed, inside = _images()
    reference = GlobalMutualInformationLoss(
        num_bins=23, smooth_nr=1e-12, smooth_dr=1e-12, reduction="none"
    )
    value = mutual_information(warped, fixed, inside, bins=23, normalised=False)
    torch.testing.assert_close(value, reference(warped, fixed), rtol=1e-6, atol=1e-8)


def test_two_grey_values_that_go_together_tell_one_bit() -> None:
    fixed = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    fixed[..., 2:] = 1
    inside = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    # With bins far apart, the windows do not blur two values into one another.
    value = mutual_information(5 - 3 * fixed, fixed, inside, bins=9, normalised=False)
    assert value.item() == pytest.approx(-math.log(2), abs=0.02)


def test_normalised_it_is_studholmes_ratio_of_entropies() -> None:
    warped, fixed, inside = _images()
    centres = torch.arange(16, dtype=torch.float64)
    parzen = [
        torch.softmax(-2 * (15 * image.flatten(1)[..., None] - centres) ** 2, dim=2)
        for image in (warped, fixed)
    ]
    joint = parzen[0].mT @ parzen[1] / 504
    entropies = [
        -(p * p.clamp(min=1e-300).log()).flatten(1).sum(1)
        for p in (joint.sum(2), joint.sum(1), joint)
    ]
    value = mutual_information(warped, fixed, inside, bins=16)
    torch.testing.assert_close(value, 2 - (entropies[0] + entropies[1]) / entropies[2])


def test_independent_images_tell_nothing() -> None:
    grid = torch.arange(64, dtype=torch.float64)
    warped, fixed = grid.repeat(64, 1)[None, None], grid.repeat(64, 1).T[None, None]
    inside = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    assert mutual_information(warped, fixed, inside, bins=16).item() == pytest.approx(1, abs=1e-6)


def test_a_one_to_one_change_of_contrast_tells_as_much() -> None:
    fixed, inside = (image[:1] for image in _images()[1:])
    values = [
        mutual_information(changed, fixed, inside).item()
        for changed in (fixed, -3 * fixed + 7, fixed**2)
    ]
    assert values[1] == pytest.approx(values[0], abs=1e-9)
    assert values[2] == pytest.approx(values[0], abs=0.1)


def test_voxels_outside_are_not_counted() -> None:
    warped, fixed, inside = _images()
    inside[:, :, 4:] = False
    half = [image[:, :, :4].clone() for image in (warped, fixed)]
    for image in half:  # the range of grey is the whole image's
        image[:, :, 0, 0, 0], image[:, :, 0, 0, 1] = 0, 1
    whole = [
        torch.cat([image, other[:, :, 4:]], dim=2)
        for image, other in zip(half, (warped, fixed), strict=True)
    ]
    torch.testing.assert_close(
        mutual_information(whole[0], whole[1], inside),
        mutual_information(half[0], half[1], inside[:, :, :4]),
    )


def test_blocks_of_voxels_add_up() -> None:
    once = _images()
    copies = 1 + module.BLOCK // once[0][0].numel()
    several = [torch.cat([values] * copies, dim=2) for values in once]
    torch.testing.assert_close(mutual_information(*several), mutual_information(*once))
