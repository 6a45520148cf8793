from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from builders import finished_study
from tenter.cases import case_files
from tenter.errors import DataError
from tenter.formats.transforms import read_transform
from tenter.reporting import examples, results
from tenter.spatial import warp

RMS = ("", "landmark", "rms_tre", "mm")
DICE = ("gland", "structure", "dice", "1")
SHAPE = (12, 14, 10)


def groups(errors: list[float], dices: list[float] | None = None) -> tuple[results.Group, ...]:
    rows = []
    for place, error in enumerate(errors):
        head = ("local", "0", "cv", f"pair{place}", f"patient{place}")
        rows.append(finished_study.row(head, RMS, 10.0, error))
        rows.append(finished_study.row(head, DICE, 0.5, dices[place] if dices else 0.8))
    return results.groups(rows, ("local",))


def chosen(found: tuple[results.Group, ...], number: int) -> list[tuple[str, str]]:
    return [(example.place, example.pair) for example in examples.choose(found, number)]


def test_three_examples_are_best_median_and_worst() -> None:
    found = groups([5.0, 1.0, 9.0, 3.0, 7.0])
    assert chosen(found, 3) == [("best", "pair1"), ("median", "pair0"), ("worst", "pair2")]


def test_one_example_is_the_median() -> None:
    assert chosen(groups([5.0, 1.0, 9.0]), 1) == [("median", "pair0")]


def test_a_pair_with_a_vanished_landmark_is_worst() -> None:
    assert chosen(groups([5.0, math.inf, 9.0]), 2)[-1] == ("worst", "pair1")


def test_equal_errors_are_ranked_by_dice() -> None:
    assert chosen(groups([5.0, 5.0], [0.6, 0.9]), 2) == [("best", "pair1"), ("worst", "pair0")]


def test_more_examples_than_pairs_show_each_pair_once() -> None:
    assert len(set(chosen(groups([5.0, 1.0]), 9))) == 2


def test_unlabelled_pairs_are_ranked_by_roughness() -> None:
    rows = [
        finished_study.row(
            ("m", "ensemble", "test", f"pair{place}", "p"),
            ("", "field", "sd_log_jacobian", "1"),
            0.0,
            value,
        )
        for place, value in enumerate((0.3, 0.1, 0.2))
    ]
    ordered = [("smoothest", "pair1"), ("median", "pair2"), ("roughest", "pair0")]
    assert chosen(results.groups(rows, ("m",)), 3) == ordered


@pytest.mark.parametrize(
    ("place", "measured", "title"),
    [
        ("best", True, "Best pair"),
        ("worst", True, "Worst pair"),
        ("smoothest", False, "Smoothest deformation"),
        ("median", False, "Median deformation"),
        ("rank 2 of 5", True, "Rank 2 of 5 pair"),
    ],
)
def test_a_pair_is_called_best_only_where_it_was_measured(
    place: str, *, measured: bool, title: str
) -> None:
    assert examples.Example(place, "pair1", "p", "0", measured).title == title


@pytest.mark.parametrize(
    ("patient", "told"),
    [
        ("p1", "Patient p1, fold 2"),
        ("a--b", "Patients a and b, fold 2"),
        ("x-1--y-2", "Patients x-1 and y-2, fold 2"),
    ],
)
def test_an_example_names_its_patients(patient: str, told: str) -> None:
    assert examples.Example("best", "pair", patient, "2").origin == told


def test_a_scene_is_warped_by_the_transform(tmp_path: Path) -> None:
    finished_study.write_case(tmp_path, "pair0", SHAPE)
    finished_study.write_field(tmp_path, "local", "pair0", SHAPE)
    scene = examples.scene(tmp_path / "cases/pair0", tmp_path / "fields/local/pair0/transform.h5")
    overlap = [
        float(
            ((labels[0] >= 0.5) & (scene.fixed_labels[0] >= 0.5)).sum()
            / (scene.fixed_labels[0] >= 0.5).sum()
        )
        for labels in (scene.moving_labels, scene.warped_labels)
    ]
    assert overlap[1] > overlap[0]
    assert scene.structures == 1
    assert scene.spacing_mm == finished_study.SPACING


def test_structures_come_first_in_a_scene(tmp_path: Path) -> None:
    finished_study.write_case(tmp_path, "pair0", SHAPE)
    finished_study.write_field(tmp_path, "local", "pair0", SHAPE)
    scene = examples.scene(tmp_path / "cases/pair0", tmp_path / "fields/local/pair0/transform.h5")
    volumes = (scene.fixed_labels >= 0.5).sum(axis=(1, 2, 3))
    assert np.argmax(volumes) == 0


def test_a_case_without_labels_has_no_contours(tmp_path: Path) -> None:
    finished_study.write_case(tmp_path, "pair0", SHAPE, labelled=False)
    (tmp_path / "cases/pair0/labels.json").unlink()
    finished_study.write_field(tmp_path, "local", "pair0", SHAPE)
    scene = examples.scene(tmp_path / "cases/pair0", tmp_path / "fields/local/pair0/transform.h5")
    assert scene.fixed_labels.shape == (0, *SHAPE)


def test_a_missing_case_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pair0"):
        examples.scene(tmp_path / "cases/pair0", tmp_path / "transform.h5")


def test_the_caption_says_figures_before_and_after() -> None:
    found = groups([5.0], [0.81])
    (example,) = examples.choose(found, 1)
    said = examples.caption(example, found)
    assert said == "gland Dice 0.50 → 0.81; RMS TRE of a pair 10.0 → 5.0\N{NO-BREAK SPACE}mm"


def test_a_picture_is_warped_as_the_registration_warps(tmp_path: Path) -> None:
    finished_study.write_case(tmp_path, "pair0", SHAPE)
    finished_study.write_field(tmp_path, "local", "pair0", SHAPE)
    case, path = tmp_path / "cases/pair0", tmp_path / "fields/local/pair0/transform.h5"
    field = read_transform(path).field.double()
    moving, labels = case_files.read_images(case).moving, case_files.read_labels(case).moving
    image, mask = (torch.from_numpy(np.array(a, np.float64))[None] for a in (moving, labels / 255))
    expected = warp.warp(image, field)[0], warp.warp(mask, field, padding="zeros")[0]
    scene = examples.scene(case, path)
    assert np.allclose(scene.warped, expected[0][0].numpy(), rtol=0, atol=1e-12)
    assert np.allclose(np.sort(scene.warped_labels, 0), np.sort(expected[1], 0), rtol=0, atol=1e-12)
