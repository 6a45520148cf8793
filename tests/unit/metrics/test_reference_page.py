"""The page that defines the metrics names every one of them,
and its figures are what the code gives.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from tenter.metrics import deformation, learn2reg, muregpro
from tenter.metrics.definitions import METRICS, Metric
from tenter.metrics.indices import IndexField
from tenter.metrics.muregpro import SoftLabel
from tenter.metrics.surfaces import surface_distances
from tenter.metrics.surfels import robust_hausdorff
from tenter.reporting.challenges import FAMILIES
from tenter.statistics.challenge_scores import Aggregate
from tenter.statistics.grouping import COLUMNS as KEYS
from tenter.statistics.lines import ComparisonLine, SummaryLine
from tenter.statistics.muregpro_cohort import Cohort
from tenter.typed_tables import columns

PAGE = (Path(__file__).parents[3] / "docs/reference/metrics.md").read_text(encoding="utf-8")
ONE = (1.0, 1.0, 1.0)


def rough(size: float) -> IndexField:
    """Noise on 32 voxels a side, smoothed by 3 voxels: the page says so."""
    noise = np.random.default_rng(0).normal(size=(3, 32, 32, 32))
    return np.stack([ndimage.gaussian_filter(part, 3) * size for part in noise]).astype(np.float32)


def ball(x: int, radius: float = 8.0) -> SoftLabel:
    place = np.indices((40, 30, 30)) - np.array([x, 15, 15]).reshape(3, 1, 1, 1)
    return np.asarray(np.sqrt((place**2).sum(axis=0)) <= radius, dtype=np.float64)


def cube(x: int, y: int, z: int) -> SoftLabel:
    label = np.zeros((20, 20, 20))
    label[x : x + 3, y : y + 3, z : z + 3] = 1
    return label


def error(*shift: int) -> float:
    return muregpro.centroid_error(cube(5, 5, 5), cube(5 + shift[0], 5 + shift[1], 5 + shift[2]))


def line(start: str) -> str:
    """The page's table line that starts so."""
    (found,) = (text for text in PAGE.splitlines() if text.startswith(f"| {start}"))
    return found


def of(metric: Metric) -> str:
    """What a metric is of, in the page's words."""
    if metric.name == "muregpro_dice":
        return "first label"
    if metric.roles == ("structure",):
        return "structures"
    return {"label": "each label", "points": "each point"}.get(metric.of, metric.of)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_page_gives_unit_direction_and_measurand_as_defined(metric: Metric) -> None:
    cells = [cell.strip() for cell in line(f"`{metric.name}` |").split("|")]
    assert cells[2:5] == [metric.unit, metric.better, of(metric)]


def test_the_page_lists_metrics_in_the_order_of_their_definitions() -> None:
    names = re.findall(r"^\| `(\w+)` \| (?:1|mm|%|voxel) \|", PAGE, flags=re.MULTILINE)
    assert names == [metric.name for metric in METRICS]


@pytest.mark.parametrize("column", columns(Aggregate))
def test_every_column_of_the_table_of_challenges_is_named(column: str) -> None:
    assert f"`{column}`" in PAGE


@pytest.mark.parametrize(
    "column",
    sorted({*columns(SummaryLine), *columns(ComparisonLine)} - set(KEYS) - {"model", "reference"}),
)
def test_every_column_of_the_summary_and_the_comparison_is_defined(column: str) -> None:
    name = re.sub("^(before|after)_", "…_", column)
    assert any(
        f"`{name}`" in text.split("|")[1] for text in PAGE.splitlines() if text.startswith("|")
    )


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_deviation_that_the_report_names_is_explained(family: str) -> None:
    for item in FAMILIES[family].deviations:
        assert all(part.strip("`") in PAGE for part in item.figure.split(", "))


def test_errors_of_shifted_labels() -> None:
    assert f"{error(6, 0, 0):.2f}" in line("6 voxels along one axis")
    assert f"{error(3, 4, 0):.2f}" in line("3 and 4 voxels along two axes")
    assert "5.00" in line("3 and 4 voxels along two axes")


def test_the_error_in_the_mean_over_directions() -> None:
    directions = np.random.default_rng(0).normal(size=(200_000, 3))
    ratio = np.abs(directions).mean(axis=1) / np.linalg.norm(directions, axis=1)
    assert f"{ratio.mean():.2f}" == "0.50"
    assert "0.50" in line("any direction")


def test_a_case_in_whole_numbers() -> None:
    errors = np.array([[7 / 3, 10 / 3]])
    exact, whole = (
        Cohort(errors, errors).aggregates(whole=whole)["tre"] for whole in (False, True)
    )
    assert f"{exact:.2f} and {whole:.2f}" in line("errors of 7/3 and 10/3")


def test_folds_that_are_not_counted() -> None:
    field = torch.from_numpy(rough(70)).double()
    found = deformation.determinants(field, np.eye(4))
    turned = 100 * deformation.turned_volume(field, np.eye(4)) / found.size
    assert learn2reg.field_figures(rough(70))["learn2reg_foldings"] == 0
    told = line("a rough field")
    assert all(f"{value:.1f} %" in told for value in (deformation.folding_percent(found), turned))


def test_spreads_of_the_same_field() -> None:
    strict = deformation.sd_log_jacobian(
        deformation.determinants(torch.from_numpy(rough(20)).double(), np.eye(4))
    )
    theirs = learn2reg.field_figures(rough(20))["learn2reg_sd_log_jacobian"]
    assert f"{theirs:.3f}" in line("a smooth field")
    assert f"{strict:.3f}" in line("a smooth field")


def test_distances_of_two_balls() -> None:
    first, second = ball(15), ball(18)
    strict = surface_distances(first > 0, second > 0, ONE)
    assert strict is not None
    told = line("two balls of radius 8")
    learnt = robust_hausdorff(first > 0, second > 0)
    values = (strict.hausdorff(), learnt, muregpro.hd95(first, second))
    for cell, value in zip(told.split("|")[2:5], values, strict=True):
        assert f"{value:.2f}" in cell


def test_a_fold_between_voxels() -> None:
    field = torch.zeros(3, 8, 8, 8, dtype=torch.float64)
    field[0] = (0.6 * (-1.0) ** torch.arange(8))[:, None, None]
    assert deformation.folding_percent(deformation.determinants(field, np.eye(4))) == 0
    share = 100 * deformation.turned_volume(field, np.eye(4)) / 6**3
    assert f"{share:.0f} %" in line("planes 1 voxel apart")
