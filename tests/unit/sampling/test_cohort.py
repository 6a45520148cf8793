"""Prepared cases as training holds them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.training_cases import SHAPE, Prepared, case, prepare
from tenter.cases import case_files
from tenter.errors import DataError
from tenter.sampling import cohort

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"), pairs=2)


def test_images_are_those_of_the_case(prepared: Prepared) -> None:
    folder = prepared.root / "cases" / prepared.pairs[0]
    made = cohort.read(folder, CPU)
    assert np.array_equal(made.image("moving").numpy(), case_files.read_images(folder).moving)
    assert np.array_equal(made.image("fixed").numpy(), case_files.read_images(folder).fixed)
    assert made.patients == ("patient00",)


def test_labels_are_cropped_and_put_back_where_they_were(prepared: Prepared) -> None:
    folder = prepared.root / "cases" / prepared.pairs[0]
    made, stored = cohort.read(folder, CPU), case_files.read_labels(folder)
    target = torch.zeros(len(made.labels), *made.image("fixed").shape[1:])
    made.paste("fixed", range(len(made.labels)), target)
    assert np.array_equal((target * 255).round().numpy(), stored.fixed)
    assert sum(boxes[1].values.numel() for boxes in made.boxes) < target.numel()


def test_pairs_without_a_common_label_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unlabelled = prepare(tmp_path, pairs=1, labels="none")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(DataError, match="none of 1 pairs has a label"),
    ):
        cohort.load(unlabelled.root / "cases", unlabelled.pairs, CPU)
    assert "pair00" in caplog.text


def test_pairs_without_a_label_are_let_in_where_images_teach(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unlabelled = prepare(tmp_path, pairs=2, labels="none")
    with caplog.at_level(logging.WARNING):
        found = cohort.load(unlabelled.root / "cases", unlabelled.pairs, CPU, unlabelled=True)
    assert [made.labels for made in found] == [(), ()]
    assert "learnt from by their images alone: pair00, pair01" in caplog.text


def test_the_largest_stored_value_is_exactly_one() -> None:
    target = torch.zeros(1, *SHAPE)
    case("p0").paste("fixed", (0,), target)
    assert float(target.max()) == 1.0


def test_a_case_of_another_kind_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    other = prepare(tmp_path, pairs=1)
    image = tmp_path / "cases" / "pair00" / "fixed.nii"
    image.write_bytes((prepared.root / "cases/pair00/moving_labels.nii").read_bytes())
    with pytest.raises(DataError, match=r"fixed\.nii"):
        cohort.load(other.root / "cases", other.pairs, CPU)
