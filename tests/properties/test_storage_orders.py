"""How a file stores its axes shows in no result: all 48 orders and directions,
through the real stages.

The same pair is written with the axes of the moving image, of the fixed image, or of both in
each order and direction (label maps likewise), prepared, registered by one small network whose
field is far from zero and from symmetric, and measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.registered_pairs import AFFINES, RegisteredStudy, drawn, write_manifest, write_points
from builders.tiny_cohorts import save, world
from tenter import config, manifest
from tenter.cases import case_files, planning
from tenter.cases.alignment import align
from tenter.cases.case_files import CaseImages
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.metrics.deformation import determinants, folding_percent, turned_volume
from tenter.records import AlignmentRule, MetricRow

Order = tuple[tuple[int, ...], tuple[int, ...]]
"""Which axis comes first, second, third; and which step (1, -1) each of them takes."""

ORDERS: tuple[Order, ...] = tuple(
    itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
)
PLAIN = ORDERS[0]
GROUPS: dict[str, Callable[[int], tuple[Order, Order]]] = {
    "moving": lambda index: (ORDERS[index], PLAIN),
    "fixed": lambda index: (PLAIN, ORDERS[index]),
    # Every order of one side once beside every order of the other, never the same one.
    "both": lambda index: (ORDERS[index], ORDERS[(5 * index + 7) % 48]),
}
NAMES = tuple(f"{group}-{index:02d}" for group in GROUPS for index in range(48))
BASE = "moving-00"


def stored(array: np.ndarray, affine: np.ndarray, order: Order) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels in the same places, with their axes in another order and direction."""
    axes, steps = order
    turned = array.transpose(axes)[tuple(slice(None, None, step) for step in steps)]
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, (old, step) in enumerate(zip(axes, steps, strict=True)):
        turn[old, new] = step
        turn[old, 3] = array.shape[old] - 1 if step < 0 else 0
    return turned, affine @ turn


def write_cohort(root: Path) -> None:
    """Every pair's files, and the manifest."""
    for side, affine in AFFINES.items():
        for what, array in drawn(side).items():
            for index, order in enumerate(ORDERS):
                save(root / f"{side}-{what}-{index}.nii", *stored(array, affine, order))
        write_points(root / f"{side}.points.tsv", side)
    rows: dict[str, dict[str, str]] = {}
    for name in NAMES:
        row = rows.setdefault(name, {})
        for side, order in zip(AFFINES, orders_of(name), strict=True):
            row |= {
                f"{side}_{what}": f"{side}-{what}-{ORDERS.index(order)}.nii"
                for what in ("image", "labels")
            }
            row[f"{side}_points"] = f"{side}.points.tsv"
    write_manifest(root, rows)


def orders_of(name: str) -> tuple[Order, Order]:
    group, _, index = name.partition("-")
    return GROUPS[group](int(index))


@dataclass(frozen=True)
class Results:
    """All pairs, prepared, registered and measured."""

    study: RegisteredStudy
    rows: tuple[MetricRow, ...]

    def case(self, name: str) -> CaseImages:
        return case_files.read_images(self.study.root / "cases" / name)

    def labels(self, name: str, side: str) -> np.ndarray:
        path = case_files.labels_file(self.study.root / "cases" / name, side)
        return volumes.read_labels(path, config.LabelFiles(format="stack")).array

    def warped(self, name: str) -> Volume:
        return volumes.read_image(self.study.root / f"fields/{name}/warped_image.nii.gz")

    def figures(self, name: str, metric: str) -> list[float]:
        """Before and after of each label (or point), the field's where it has no label."""
        rows = [row for row in self.rows if (row.pair, row.metric) == (name, metric)]
        figures = [
            figure for row in rows for figure in (row.before, row.after) if figure is not None
        ]
        assert len(figures) == 2 * len(rows) > 0
        return figures


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("stored")
    write_cohort(root)
    study = RegisteredStudy(root, NAMES)
    return Results(study, study.run())


def others(group: str) -> list[str]:
    return [name for name in NAMES if name.startswith(group) and name != BASE]


def test_the_registration_that_is_compared_is_no_trivial_one(results: Results) -> None:
    field = results.study.transform(BASE).field[0].numpy()
    assert np.abs(field).max() > 2
    for axis in range(3):
        assert np.abs(field - np.flip(field, axis + 1)).max() > 1
    before, after = np.reshape(results.figures(BASE, "point_tre"), (-1, 2)).T
    assert np.abs(after - before).min() > 0.5
    assert all(0.05 < dice < 0.95 for dice in results.figures(BASE, "dice"))
    assert results.figures(BASE, "folding")[1] > 0


def test_plans_do_not_depend_on_storage(results: Results) -> None:
    pairs = manifest.read(results.study.root / "manifest.tsv")
    assert {pair.id for pair in pairs} >= set(NAMES)
    chosen = [pair for pair in pairs if pair.id in NAMES]
    plans = [planning.derive([pair], config.PlanRules()) for pair in chosen]
    assert len(set(plans[0].shape)) == 3
    assert {(plan.shape, plan.spacing_mm) for plan in plans} == {
        (plans[0].shape, plans[0].spacing_mm)
    }


@pytest.mark.parametrize("rule", ["centre", "mass"])
def test_alignments_do_not_depend_on_storage(rule: AlignmentRule) -> None:
    found = []
    for index in range(len(ORDERS)):
        moving, fixed = (
            Volume(np.ascontiguousarray(array)[None], affine)
            for side, order in zip(AFFINES, GROUPS["both"](index), strict=True)
            for array, affine in [stored(drawn(side)["image"], AFFINES[side], order)]
        )
        found.append(align(rule, moving, fixed))
    np.testing.assert_allclose(found, np.broadcast_to(found[0], (48, 4, 4)), rtol=0, atol=1e-6)
    assert np.linalg.norm(found[0][:3, 3]) > 10


@pytest.mark.parametrize("group", GROUPS)
def test_cases_do_not_depend_on_storage(results: Results, group: str) -> None:
    base = results.case(BASE)
    for name in others(group):
        case = results.case(name)
        for what in ("affine", "alignment", "moving", "fixed"):
            one, other = getattr(case, what), getattr(base, what)
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5, err_msg=f"{name} {what}")


@pytest.mark.parametrize("side", ["moving", "fixed"])
@pytest.mark.parametrize("group", GROUPS)
def test_prepared_labels_do_not_depend_on_storage(results: Results, group: str, side: str) -> None:
    base = results.labels(BASE, side)
    for name in others(group):
        found = results.labels(name, side)
        # A value between two steps of 1/255 may round to either.
        np.testing.assert_allclose(found, base, rtol=0, atol=1.01 / 255, err_msg=name)
        assert np.count_nonzero(found != base) <= 2


@pytest.mark.parametrize("group", GROUPS)
def test_fields_do_not_depend_on_storage(results: Results, group: str) -> None:
    base = results.study.transform(BASE).field
    for name in others(group):
        found = results.study.transform(name).field
        np.testing.assert_allclose(found, base, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    ("metric", "tolerance"),
    [
        ("tre", 1e-5),
        ("rms_tre", 1e-5),
        ("point_tre", 1e-4),
        ("dice", 0.0),
        ("hd95", 1e-5),
        ("surface_distance", 1e-5),
        ("folding", 0.0),
        ("ndv", 1e-5),
        ("sd_log_jacobian", 1e-5),
    ],
)
def test_figures_do_not_depend_on_storage(
    results: Results, group: str, metric: str, tolerance: float
) -> None:
    expected = results.figures(BASE, metric)
    for name in others(group):
        found = results.figures(name, metric)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("group", GROUPS)
def test_warped_images_lie_in_the_fixed_images_own_storage(results: Results, group: str) -> None:
    base = results.warped(BASE)
    for name in others(group):
        found = results.warped(name)
        array, affine = stored(base.array[0], base.affine, orders_of(name)[1])
        np.testing.assert_allclose(found.affine, affine, rtol=0, atol=1e-5, err_msg=name)
        # Of intensities up to 200.
        np.testing.assert_allclose(found.array[0], array, rtol=0, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("degrees", [0.0, 30.0])
def test_folds_up_to_the_edge_of_a_grid_do_not_depend_on_storage(degrees: float) -> None:
    moves = np.random.default_rng(0).normal(size=(9, 8, 7, 3)) * 1.5
    affine = world(moves.shape[:3], (1.3, 1.6, 2.1), degrees)

    def measured(order: Order) -> tuple[float, float, float]:
        turns = [stored(moves[..., axis], affine, order) for axis in range(3)]
        field = torch.from_numpy(np.stack([array for array, _ in turns]))
        found = determinants(field, turns[0][1])
        return folding_percent(found), float(found.sum()), turned_volume(field, turns[0][1])

    expected = measured(PLAIN)
    assert min(expected) > 10
    for order in ORDERS:
        assert measured(order) == pytest.approx(expected, rel=1e-9), order
