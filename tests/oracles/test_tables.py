"""O28 and O29: what stands in the table of metrics, whoever reckons it and in whichever order."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from builders.registered_pairs import (
    AFFINES,
    LABELS,
    RegisteredStudy,
    drawn,
    write_manifest,
    write_model,
    write_pair,
)
from builders.tiny_cohorts import save
from tenter import config
from tenter.records import MetricRow
from tenter.training import models

KEYS = {"gland": 1, "cyst": 2, "lump": 5}
LPS = np.array([-1.0, -1.0, 1.0])


def write_two_pairs(
    root: Path, keys: dict[int, int] | None = None, *, backwards: bool = False
) -> None:
    """The pair twice, once the other way round; label keys replaced as told."""
    row = {}
    for side, affine in AFFINES.items():
        arrays = drawn(side)
        labels = arrays["labels"].copy()
        for old, new in (keys or {}).items():
            labels[arrays["labels"] == old] = new
        row[f"{side}_image"] = save(root / f"{side}-image.nii", arrays["image"], affine).name
        row[f"{side}_labels"] = save(root / f"{side}-labels.nii", labels, affine).name
    swapped = {
        f"{side}_{what}": row[f"{other}_{what}"]
        for what in ("image", "labels")
        for side, other in (("moving", "fixed"), ("fixed", "moving"))
    }
    rows = {"p": row, "q": swapped}
    write_manifest(root, dict(reversed(rows.items())) if backwards else rows)


def named(keys: dict[int, int]) -> config.LabelFiles:
    """The same names in another order, each at its new key."""
    names = [
        config.NamedLabel(name=item.name, key=keys[item.key], role=item.role)
        for item in reversed(LABELS.names)
    ]
    return config.LabelFiles(names=tuple(names))


def figures(rows: tuple[MetricRow, ...]) -> dict[tuple[str, str, str, str], float]:
    values = {
        (row.pair, row.label, row.metric, when): value
        for row in rows
        for when, value in (("before", row.before), ("after", row.after))
    }
    assert len(values) == 2 * len(rows)
    return {key: np.nan if value is None else value for key, value in values.items()}


@pytest.fixture(scope="module")
def plain(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[RegisteredStudy, dict[tuple[str, str, str, str], float]]:
    study = RegisteredStudy(tmp_path_factory.mktemp("plain"), ("p", "q"))
    write_two_pairs(study.root)
    return study, figures(study.run())


def test_o28_the_order_of_pairs_changes_no_byte(
    plain: tuple[RegisteredStudy, object], tmp_path: Path
) -> None:
    study = RegisteredStudy(tmp_path, ("q", "p"))
    write_two_pairs(tmp_path, backwards=True)
    study.run()
    assert (tmp_path / "metrics.tsv").read_bytes() == (plain[0].root / "metrics.tsv").read_bytes()


@pytest.mark.parametrize("order", [(2, 5, 1), (5, 2, 1), (9, 4, 7)])
def test_o28_the_keys_of_labels_change_nothing(
    plain: tuple[RegisteredStudy, dict[tuple[str, str, str, str], float]],
    tmp_path: Path,
    order: tuple[int, int, int],
) -> None:
    keys = dict(zip(KEYS.values(), order, strict=True))
    study = RegisteredStudy(tmp_path, ("p", "q"), named(keys))
    write_two_pairs(tmp_path, keys)
    assert figures(study.run()) == pytest.approx(plain[1], abs=1e-6, nan_ok=True)


def test_o28_the_order_of_a_batch_changes_no_field(tmp_path: Path) -> None:
    write_model(tmp_path)
    network = models.load(tmp_path, torch.device("cpu")).network
    moving, fixed = torch.randn(2, 4, 1, 16, 18, 14, generator=torch.Generator().manual_seed(0))
    whole = network(moving, fixed)
    assert whole.abs().max() > 1
    for order in ([3, 1, 0, 2], [2, 0, 3, 1], [1], [3]):
        # Voxels in single precision: an error of a millionth of the largest displacement.
        found = network(moving[order], fixed[order])
        torch.testing.assert_close(
            found, whole[order], rtol=0, atol=1e-6 * float(whole.abs().max())
        )


class Independent:
    """The figures of one pair by SimpleITK, SciPy and NumPy alone, from the files of a study.

    A label is read linearly, is nothing beyond its image, and is set from one half on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fixed, self.moving = (
            sitk.ReadImage(str(root / f"{side}-labels.nii")) for side in ("fixed", "moving")
        )
        whole = sitk.CompositeTransform(sitk.ReadTransform(str(root / "fields/p/transform.h5")))
        self.transforms = {"before": whole.GetNthTransform(0), "after": whole}
        self.spacing = np.array(self.fixed.GetSpacing())

    def figures(self, when: str) -> dict[tuple[str, str], float]:
        """By label and metric."""
        transform = self.transforms[when]
        found: dict[tuple[str, str], float] = {}
        for name, key in KEYS.items():
            masks = self.warped(transform, key), self.array(self.fixed == key) > 0
            found[name, "dice"] = (
                2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())
            )
            centres = [np.argwhere(mask).mean(axis=0) * self.spacing for mask in masks]
            found[name, "tre"] = float(np.linalg.norm(centres[0] - centres[1]))
            if name == "gland":
                found[name, "hd95"], found[name, "surface_distance"] = self.surfaces(*masks)
        errors = [found[name, "tre"] for name in ("cyst", "lump")]
        found["", "rms_tre"] = float(np.sqrt(np.mean(np.square(errors))))
        return found | self.points(transform) | self.volumes(transform)

    @staticmethod
    def array(image: sitk.Image) -> np.ndarray:
        array: np.ndarray = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
        return array

    def warped(self, transform: sitk.Transform, key: int) -> np.ndarray:
        soft = sitk.ConstantPad(sitk.Cast(self.moving == key, sitk.sitkFloat64), [1] * 3, [1] * 3)
        read = self.array(sitk.Resample(soft, self.fixed, transform, sitk.sitkLinear, 0.0))
        mask: np.ndarray = read >= 0.5 - 1e-6
        return mask

    def surfaces(self, one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
        shells = [mask & ~ndimage.binary_erosion(mask) for mask in (one, other)]
        apart = [ndimage.distance_transform_edt(~shell, sampling=self.spacing) for shell in shells]
        forth, back = apart[1][shells[0]], apart[0][shells[1]]
        worst = max(np.percentile(forth, 95), np.percentile(back, 95))
        return float(worst), float(np.concatenate([forth, back]).mean())

    def points(self, transform: sitk.Transform) -> dict[tuple[str, str], float]:
        sides = []
        for side in ("fixed", "moving"):
            with (self.root / f"{side}.points.tsv").open(newline="") as stream:
                rows = list(csv.DictReader(stream, delimiter="\t"))
            sides.append(
                {row["label"]: np.array([float(row[axis]) for axis in "xyz"]) for row in rows}
            )
        return {
            (name, "point_tre"): float(
                np.linalg.norm(
                    np.array(transform.TransformPoint((start * LPS).tolist())) * LPS
                    - sides[1][name]
                )
            )
            for name, start in sides[0].items()
        }

    def volumes(self, transform: sitk.Transform) -> dict[tuple[str, str], float]:
        shape = self.fixed.GetSize()
        index = [[float(part) for part in voxel] for voxel in np.ndindex(shape)]
        starts = [self.fixed.TransformContinuousIndexToPhysicalPoint(voxel) for voxel in index]
        ends = np.array([transform.TransformPoint(start) for start in starts]).reshape(*shape, 3)
        # In voxels of the fixed image, but for the origin.
        ends = ends @ np.linalg.inv(np.reshape(self.fixed.GetDirection(), (3, 3)) * self.spacing).T
        inner = (slice(1, -1),) * 3
        steps = np.stack([np.gradient(ends, axis=axis)[inner] for axis in range(3)], axis=-1)
        volume = np.linalg.det(steps)
        return {
            ("", "folding"): 100 * float(np.mean(volume <= 0)),
            ("", "sd_log_jacobian"): float(np.log(volume[volume > 0]).std()),
            ("", "ndv"): 100 * float(np.mean(turned_inside_out(ends))),
        }


def turned_inside_out(ends: np.ndarray) -> np.ndarray:
    """Around each inner voxel, the negative volume of the ten tetrahedra of Liu et al. (2024)."""

    def edge(step: tuple[int, ...]) -> np.ndarray:
        ahead = tuple(
            slice(1 + part, size - 1 + part)
            for part, size in zip(step, ends.shape[:3], strict=True)
        )
        difference: np.ndarray = ends[ahead] - ends[1:-1, 1:-1, 1:-1]
        return difference

    corners = [[(s, 0, 0), (0, t, 0), (0, 0, u)] for s in (1, -1) for t in (1, -1) for u in (1, -1)]
    centres = [[(s, s, 0), (0, s, s), (s, 0, s)] for s in (1, -1)]
    total = np.zeros(np.subtract(ends.shape[:3], 2))
    for steps in (*corners, *centres):
        volume = np.linalg.det(np.stack([edge(step) for step in steps], axis=-1)) / 6
        # The sign that this tetrahedron has where nothing moves.
        volume *= np.sign(np.linalg.det(np.array(steps)))
        # Two ways to fill a cube with tetrahedra: each counts for half.
        total += np.maximum(-volume, 0) / 2
    return total


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> RegisteredStudy:
    made = RegisteredStudy(tmp_path_factory.mktemp("measured"))
    write_pair(made.root)
    made.run()
    return made


@pytest.mark.parametrize("when", ["before", "after"])
def test_o29_the_table_is_what_an_independent_script_finds(
    study: RegisteredStudy, when: str
) -> None:
    with (study.root / "metrics.tsv").open(newline="") as stream:
        table = {
            (row["label"], row["metric"]): float(row[when])
            for row in csv.DictReader(stream, delimiter="\t")
        }
    expected = Independent(study.root).figures(when)
    assert table.keys() == expected.keys()
    assert len(table) == 3 * 2 + 2 + 1 + 2 + 3
    for key, value in expected.items():
        assert table[key] == pytest.approx(value, abs=1e-6), key


def test_o29_the_table_says_something(study: RegisteredStudy) -> None:
    found = {key: value for key, value in figures(study.evaluate()).items() if key[2] != "hd95"}
    for label, metric in {key[1:3] for key in found}:
        assert found["p", label, metric, "before"] != pytest.approx(
            found["p", label, metric, "after"], abs=1e-3
        )
