"""What a study should produce, against one that lacks a file, has one more, or other figures."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from golden import expected

EXPECTED: expected.Expectation = {
    "files": ["metrics.tsv", "models/{model}/fold-{fold}/model.json"],
    "figures": {"unet structure dice": {"before": 0.5, "after": 0.9}},
    "tolerances": {"dice": 0.02, "tre": 0.5},
}


@pytest.fixture
def actual() -> expected.Expectation:
    return copy.deepcopy(EXPECTED)


def test_equal_results_do_not_differ(actual: expected.Expectation) -> None:
    assert expected.differences(EXPECTED, actual) == []


def test_a_missing_and_a_new_file_are_named(actual: expected.Expectation) -> None:
    actual["files"] = ["metrics.tsv", "model.json"]
    assert expected.differences(EXPECTED, actual) == [
        "missing file: models/{model}/fold-{fold}/model.json",
        "new file: model.json",
    ]


@pytest.mark.parametrize(("dice", "differs"), [(0.901, False), (0.85, True), (float("nan"), True)])
def test_a_figure_differs_beyond_its_tolerance(
    actual: expected.Expectation,
    dice: float,
    differs: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    actual["figures"]["unet structure dice"]["after"] = dice
    lines = expected.differences(EXPECTED, actual)
    assert [line.startswith("unet structure dice after: ") for line in lines] == [True] * differs


def test_a_figure_of_one_side_only_is_named(actual: expected.Expectation) -> None:
    actual["figures"]["unet landmark tre"] = actual["figures"].pop("unet structure dice")
    assert expected.differences(EXPECTED, actual) == [
        "new figure: unet landmark tre",
        "missing figure: unet structure dice",
    ]


def test_names_of_the_cohort_are_put_in_braces(tmp_path: Path) -> None:
    names = {
        "models/a/fold-2/model.json": "models/{model}/fold-{fold}/model.json",
        "cases/p-1/fixed.nii": "cases/{pair}/fixed.nii",
        "fields/a/p-1/transform.h5": "fields/{model}/{pair}/transform.h5",
        "cases/tables/0x2-0.images.tsv": "cases/tables/{chunk}.images.tsv",
        "logs/train/a/fold-all.log": "logs/train/{model}/fold-{fold}.log",
        "checkpoints/a/fold-0/step-000300.pt": "checkpoints/{model}/fold-{fold}/step-{step}.pt",
        "tracking/a.json": "tracking/{model}.json",
        f"tracking/artifacts/{'0a' * 16}/x.svg": "tracking/artifacts/{run}/x.svg",
        "report.html": "report.html",
    }
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(expected.patterns(tmp_path)) == sorted(names.values())


def test_medians_over_the_cross_validated_pairs_are_the_figures(tmp_path: Path) -> None:
    header = "model\tset\tfold\trole\tlabel\tmetric\tbefore_median\tafter_median\n"
    (tmp_path / "summary.tsv").write_text(
        f"{header}a\tcv\tall\tstructure\t\tdice\t0.5\t0.8\n"
        "a\tcv\t0\tstructure\t\tdice\t0.1\t0.2\n"
        "a\tcv\tall\tstructure\tgland\tdice\t0.3\t0.4\n"
        "a\ttest\tall\tstructure\t\tdice\t0.6\t0.7\n"
    )
    assert expected.figures(tmp_path / "summary.tsv") == {
        "a structure dice": {"before": 0.5, "after": 0.8}
    }
