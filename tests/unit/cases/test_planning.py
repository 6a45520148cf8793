from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter.cases import planning, plans
from tenter.config import PlanRules
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.records import ImagePair, Plan

LAS = np.diag([-1.5, 2.0, 3.0, 1.0])
PIR = np.array([[0, 0, 1.5, 9], [-2.0, 0, 0, 9], [0, -3.0, 0, 9], [0, 0, 0, 1]])


def written(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> Path:
    volumes.write_image(path, np.random.default_rng(0).random(shape, np.float32), affine)
    return path


def cohort(folder: Path, *fixed: tuple[tuple[int, ...], np.ndarray]) -> list[ImagePair]:
    moving = written(folder / "moving.nii", (4, 5, 6), np.eye(4))
    return [
        ImagePair(
            id=f"pair{index}",
            patients=("p",),
            moving=moving,
            fixed=written(folder / f"fixed{index}.nii", *item),
        )
        for index, item in enumerate(fixed)
    ]


@pytest.mark.parametrize(("shape", "affine"), [((10, 12, 14), LAS), ((12, 14, 10), PIR)])
def test_an_extent_is_along_r_a_and_s_however_the_image_is_stored(
    tmp_path: Path, shape: tuple[int, int, int], affine: np.ndarray
) -> None:
    found = planning.extent(written(tmp_path / "a.nii", shape, affine))
    assert (found.shape, found.spacing_mm, found.channels) == ((10, 12, 14), (1.5, 2.0, 3.0), 1)
    assert found.size_mm == (15.0, 24.0, 42.0)


def test_the_voxel_size_is_the_median_of_the_fixed_images(tmp_path: Path) -> None:
    pairs = cohort(
        tmp_path, *(((8, 8, 8), np.diag([size, 1, 4 - size, 1.0])) for size in (1.0, 1.2, 3.0))
    )
    assert planning.derive(pairs, PlanRules()).spacing_mm == (1.2, 1.0, 2.8)


def test_the_grid_covers_every_fixed_image_and_no_more(tmp_path: Path) -> None:
    pairs = cohort(
        tmp_path,
        ((47, 63, 44), np.diag([1.5, 1.5, 1.5, 1])),
        ((8, 8, 50), np.diag([1.5, 1.5, 1.5, 1])),
    )
    assert planning.derive(pairs, PlanRules()).shape == (47, 63, 50)
    assert planning.derive(pairs, PlanRules(spacing_mm=3.0)).shape == (24, 32, 25)


def test_the_configuration_overrides_what_is_derived(tmp_path: Path) -> None:
    rules = PlanRules(
        spacing_mm=(1.0, 2.0, 3.0), shape=(7, 8, 9), intensity="minmax", alignment="centre"
    )
    plan = planning.derive(cohort(tmp_path, ((8, 8, 8), np.eye(4))), rules)
    assert (plan.spacing_mm, plan.shape) == ((1.0, 2.0, 3.0), (7, 8, 9))
    assert (plan.intensity, plan.alignment) == ("minmax", "centre")


@given(
    sizes=st.lists(st.tuples(*[st.floats(4.0, 300.0)] * 3), min_size=1, max_size=5),
    spacing=st.floats(0.3, 6.0),
)
def test_no_image_is_left_uncovered_nor_a_voxel_wasted(
    sizes: list[tuple[float, float, float]], spacing: float
) -> None:
    fixed = [planning.Extent((1, 1, 1), size, 1, 0) for size in sizes]
    shape = planning._cover(fixed, (spacing,) * 3)  # noqa: SLF001 - files would make this slow
    plan = Plan(shape, (spacing,) * 3, "zscore", "header")
    assert all(planning.uncovered_mm(size, plan) == 0 for size in sizes)
    smaller = Plan((shape[0] - 1, *shape[1:]), (spacing,) * 3, "zscore", "header")
    assert any(planning.uncovered_mm(size, smaller) > 0 for size in sizes)


def test_channels_must_be_the_same_in_all_pairs(tmp_path: Path) -> None:
    pairs = cohort(tmp_path, *[((8, 8, 8), np.eye(4))] * 2, ((2, 8, 8, 8), np.eye(4)))
    with pytest.raises(DataError, match=r"fixed images have \[1, 2\] channels.*pair2"):
        planning.derive(pairs, PlanRules())


def test_every_bad_header_is_named(tmp_path: Path) -> None:
    pairs = cohort(tmp_path, *[((8, 8, 8), np.eye(4))] * 3)
    pairs[0].fixed.write_bytes(b"")
    broken = [pairs[0], pairs[1], replace(pairs[2], fixed=tmp_path / "none.nii")]
    with pytest.raises(DataError, match=r"(?s)fixed0.nii: is empty.*none.nii: does not exist"):
        planning.derive(broken, PlanRules())


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    plan = planning.derive(cohort(tmp_path, ((8, 8, 8), np.eye(4))), PlanRules())
    plans.write_plan(tmp_path / "plan.json", plan)
    assert plans.read_plan(tmp_path / "plan.json") == plan


def test_the_figures_of_a_cohort_do_not_change_its_grid() -> None:
    plan = Plan((1, 2, 3), (1.0, 1.0, 1.0), "zscore", "header")
    assert plans.plan_digest(plan) == plans.plan_digest(replace(plan, cohort={"pairs": 3}))
    assert plans.plan_digest(plan) != plans.plan_digest(replace(plan, shape=(1, 2, 4)))


@pytest.mark.parametrize(
    "text", ["", "{}", '{"shape": [1, 2, 3], "spacing_mm": [1, 1, 1], "colour": 3}']
)
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(DataError, match=r"plan\.json: is (empty|not a plan)"):
        plans.read_plan(tmp_path / "plan.json")


def pairs_of(folder: Path, moving: tuple[int, ...], *fixed: tuple[int, ...]) -> list[ImagePair]:
    image = written(folder / "moving.nii", moving, np.diag([2.0, 2, 5, 1]))
    paths = [folder / f"fixed{number}.nii" for number in range(len(fixed))]
    for number, (path, shape) in enumerate(zip(paths, fixed, strict=True)):
        written(path, shape, np.diag([1.0, 2, 3 + number, 1]))
    return [ImagePair(id=path.stem, patients=("p",), moving=image, fixed=path) for path in paths]


@pytest.mark.parametrize(
    ("rules", "thickness"),
    [
        (PlanRules(), 4.0),
        (PlanRules(spacing_mm=1.0), 4.0),
        (PlanRules(spacing_mm=(1, 2, 9)), 9.0),
        (PlanRules(spacing_mm=(1, 2, 2)), 2.0),
    ],
)
def test_the_grid_of_slices_is_one_as_thick_as_the_thickest_or_as_given(
    tmp_path: Path, rules: PlanRules, thickness: float
) -> None:
    plan = planning.derive(pairs_of(tmp_path, (8, 8, 1), (9, 8, 1), (8, 9, 1)), rules)
    assert (plan.shape[2], plan.spacing_mm[2]) == (1, thickness)
    assert planning.uncovered_mm((8.0, 18.0, 4.0), plan) == max(0, (4 - thickness) / 2)


@pytest.mark.parametrize(
    ("moving", "fixed", "named"),
    [
        ((8, 8, 1), [(9, 8, 1), (9, 8, 1), (8, 9, 5)], "fixed2.nii: is a volume"),
        ((8, 8, 4), [(9, 8, 1), (9, 8, 1)], "moving.nii: is a volume"),
        ((8, 8, 1), [(9, 8, 2), (9, 8, 2)], "moving.nii: is a slice"),
        ((8, 8, 1), [(9, 8, 1), (9, 8, 1), (9, 1, 8)], r"fixed2.nii: is a slice \(coronal\)"),
    ],
)
def test_slices_among_volumes_and_volumes_among_slices_are_named(
    tmp_path: Path, moving: tuple[int, ...], fixed: list[tuple[int, ...]], named: str
) -> None:
    with pytest.raises(DataError, match=named) as caught:
        planning.derive(pairs_of(tmp_path, moving, *fixed), PlanRules())
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("size", "shape"), [((8, 8, 1), (8, 8, 4)), ((8, 8, 4), (8, 8, 1)), ((8, 8, 1), (8, 1, 8))]
)
def test_a_shape_of_another_kind_than_the_images_is_refused(
    tmp_path: Path, size: tuple[int, ...], shape: tuple[int, int, int]
) -> None:
    with pytest.raises(DataError, match=r"plan\.shape is a"):
        planning.derive(pairs_of(tmp_path, size, size), PlanRules(shape=shape))


@pytest.mark.parametrize(
    ("spacing", "rules"),
    [
        (1e-3, PlanRules()),
        (1e-3, PlanRules(spacing_mm=0.001)),
        (1.0, PlanRules(spacing_mm=0.001)),
        (1.0, PlanRules(spacing_mm=(0.01, 0.01, 0.01))),
        (1.0, PlanRules(shape=(1000, 1000, 1000))),
    ],
)
def test_an_absurd_common_grid_is_refused_with_the_file_behind_it(
    tmp_path: Path, spacing: float, rules: PlanRules
) -> None:
    small = np.diag([spacing, spacing, spacing, 1.0])
    pairs = cohort(
        tmp_path, ((8, 8, 8), small), ((8, 8, 8), small), ((9, 9, 9), np.diag([2.0, 2, 2, 1]))
    )
    with pytest.raises(
        DataError, match=r"fixed2.nii: of 18 x 18 x 18 mm .*would need a common grid of .* GiB"
    ):
        planning.derive(pairs, rules)


@pytest.mark.parametrize("spacing", [0.001, 0.01, 0.1])
def test_images_smaller_than_a_voxel_of_the_grid_are_refused(
    tmp_path: Path, spacing: float
) -> None:
    pairs = cohort(tmp_path, ((8, 8, 8), np.diag([spacing, spacing, spacing, 1.0])))
    with pytest.raises(
        DataError, match=r"fixed0.nii.* is smaller than one voxel of the common grid"
    ):
        planning.derive(pairs, PlanRules(spacing_mm=6.0))


def test_each_image_that_cannot_be_planned_for_is_a_fault_with_its_whole_path(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "study: a; b"
    folder.mkdir()
    pairs = cohort(folder, ((8, 8, 8), np.eye(4)), ((8, 8, 8), np.eye(4)))
    for pair in pairs:
        pair.fixed.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        planning.derive(pairs, PlanRules())
    assert [(fault.file, fault.message) for fault in caught.value.faults] == [
        (str(pair.fixed), "is empty (0 bytes)") for pair in pairs
    ]
