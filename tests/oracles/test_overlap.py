"""O12-O14, O24 and O25: shared voxels, hard and soft, and volumes that survive resampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import assume, given

from builders.row_files import row_file
from builders.tiny_cohorts import save, world
from strategies import masks
from tenter import config, files, losses
from tenter.cases import plans, resampling
from tenter.losses.dice import dice as dice_loss
from tenter.metrics.overlap import dice
from tenter.records import Plan
from tenter.shapes import Mask
from tenter.stages.prepare_images import prepare_images
from tenter.stages.prepare_labels import prepare_labels

SHIFTS = pytest.mark.parametrize(
    ("shift", "expected"), [(0, 1.0), (3, 0.7), (6, 0.4), (9, 0.1), (10, 0.0)]
)
RADIUS = 10.0


def cube(shift: int = 0) -> Mask:
    mask = np.zeros((24, 14, 14), dtype=np.bool_)
    mask[2 + shift : 12 + shift, 2:12, 2:12] = True
    return mask


def sphere(shape: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """Voxels whose centre lies in a ball about the middle of the volume."""
    places = [
        (np.arange(size) - (size - 1) / 2) * step for size, step in zip(shape, spacing, strict=True)
    ]
    x, y, z = np.meshgrid(*places, indexing="ij")
    inside: np.ndarray = x**2 + y**2 + z**2 <= RADIUS**2
    return inside.astype(np.float32)


@SHIFTS
def test_o12_a_cube_of_ten_voxels_loses_a_tenth_for_each_voxel_of_shift(
    shift: int, expected: float
) -> None:
    assert dice(cube(), cube(shift)) == pytest.approx(expected, abs=1e-12)


@SHIFTS
def test_o12_the_loss_finds_the_same(shift: int, expected: float) -> None:
    first, second = (torch.from_numpy(mask)[None, None].float() for mask in (cube(), cube(shift)))
    assert 1 - dice_loss(first, second).item() == pytest.approx(expected, abs=1e-5)


@given(masks, masks)
def test_o13_dice_is_symmetric_and_lies_between_0_and_1(first: Mask, second: Mask) -> None:
    assume(first.any() or second.any())
    assert dice(first, second) == dice(second, first)
    assert 0 <= dice(first, second) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_o13_it_is_simpleitks(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = (random.random((7, 8, 9)) < share for share in random.uniform(0.1, 0.9, 2))
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (first, second)))
    assert dice(first, second) == pytest.approx(measures.GetDiceCoefficient(), abs=1e-12)


def test_o13_two_empty_masks_have_no_dice_and_one_shares_nothing() -> None:
    empty = np.zeros_like(cube())
    assert math.isnan(dice(empty, empty))
    assert dice(cube(), empty) == 0


def test_o14_soft_dice_of_binary_labels_is_hard_dice() -> None:
    first, second = torch.rand(2, 2, 3, 5, 6, 7, generator=torch.Generator().manual_seed(0)) > 0.5
    found = 1 - dice_loss(first.float(), second.float())
    expected = [
        [dice(a.numpy(), b.numpy()) for a, b in zip(*pair, strict=True)]
        for pair in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_o14_at_scale_0_multi_scale_dice_is_dice() -> None:
    warped, fixed = torch.rand(2, 2, 3, 8, 9, 7, generator=torch.Generator().manual_seed(0))
    term = losses.label_loss(config.LabelLoss(scales_mm=(0.0,)), (0.8, 1.1, 2.5))
    found = term(warped, fixed, torch.ones(2, 3)).item()
    assert found == pytest.approx(dice_loss(warped, fixed).mean().item(), abs=1e-5)


@pytest.mark.parametrize("spacing", [(0.8, 1.1, 2.5), (2.0, 1.0, 1.0), (1.5, 1.5, 1.5)])
def test_o24_there_and_back_a_sphere_keeps_its_volume(spacing: tuple[float, float, float]) -> None:
    x, y, z = (int(2 * (RADIUS + 4) / step) for step in spacing)
    shape = (x, y, z)
    isotropic = (30, 30, 30)
    start = sphere(shape, spacing)[None]
    to_own = np.diag([*(1 / np.array(spacing)), 1.0])
    to_own[:3, 3] = (np.array(shape) - 1) / 2 - to_own[:3, :3] @ np.full(3, 14.5)
    there = resampling.on_grid(start, to_own, isotropic, padding="zeros")
    back = resampling.on_grid(there, np.linalg.inv(to_own), shape, padding="zeros")
    assert (there >= 0.5).sum() == pytest.approx(start.sum() * np.prod(spacing), rel=0.02)
    assert (back >= 0.5).sum() == pytest.approx(start.sum(), rel=0.02)


@pytest.fixture(scope="module")
def prepared_sphere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What the stages say of a sphere stored at 1 mm, brought onto an oblique grid of 1 mm."""
    root, shape = tmp_path_factory.mktemp("sphere"), (30, 28, 26)
    ball = sphere(shape, (1.0, 1.0, 1.0))
    for side, degrees in (("moving", 0.0), ("fixed", 25.0)):
        save(
            root / f"{side}.nii",
            ball + np.arange(28)[None, :, None],
            world(shape, (1.0, 1.0, 1.0), degrees),
        )
        save(
            root / f"{side}-labels.nii",
            ball.astype(np.uint8),
            world(shape, (1.0, 1.0, 1.0), degrees),
        )
    columns = "pair\tpatient\tmoving_image\tfixed_image\tmoving_labels\tfixed_labels"
    row = "p\tp\tmoving.nii\tfixed.nii\tmoving-labels.nii\tfixed-labels.nii"
    (root / "manifest.tsv").write_text(f"{columns}\n{row}\n")
    plans.write_plan(root / "plan.json", Plan((30, 30, 30), (1.0, 1.0, 1.0), "zscore", "header"))
    common: dict[str, Any] = {
        "rows": row_file(root, root / "manifest.tsv"),
        "code": "c",
        "cases": root / "cases",
    }
    prepare_images(
        **common, plan=root / "plan.json", settings=config.ImageSettings(plan=config.PlanRules()),
        table=root / "images.tsv",
    )  # fmt: skip
    prepare_labels(
        **common, images=root / "images.tsv",
        settings=config.LabelSettings(labels=config.LabelFiles()), table=root / "labels.tsv",
    )  # fmt: skip
    (label,) = files.read_json(root / "cases/p/labels.json")["labels"]
    return {
        f"{side} {place}": label[side][f"{place}_mm3"]
        for side in ("moving", "fixed")
        for place in ("file", "grid")
    }


@pytest.mark.parametrize("where", ["moving file", "moving grid", "fixed file", "fixed grid"])
def test_o25_a_sphere_has_its_volume(prepared_sphere: dict[str, float], where: str) -> None:
    assert prepared_sphere[where] == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.015)
