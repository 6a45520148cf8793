"""What a finished study has carried over is what `tenter warp` makes of the same files."""

from __future__ import annotations

import csv
import sys

import pytest

from builders.clones import Clone
from tenter.formats.points import read_points


def rows(study: Clone) -> list[dict[str, str]]:
    with study.manifest.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_every_pair_with_points_has_them_in_the_moving_image(finished: Clone) -> None:
    named = {row["pair"] for row in rows(finished) if row["fixed_points"]}
    assert named
    for model in "ab":
        assert {
            path.stem for path in (finished.results / "mapped_points" / model).iterdir()
        } == named


def test_mapped_points_are_those_of_the_command(finished: Clone) -> None:
    row = next(row for row in rows(finished) if row["fixed_points"])
    output = finished.root / "mapped.tsv"
    done = finished.tool(
        sys.executable, "-m", "tenter.cli.main", "warp",
        "--transform", f"results/trial/fields/a/{row['pair']}/transform.h5",
        "--input", str(finished.manifest.parent / row["fixed_points"]), "--output", str(output),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_points(output) == read_points(
        finished.results / f"mapped_points/a/{row['pair']}.tsv"
    )
    output.unlink()


@pytest.mark.parametrize("model", ["a", "b"])
def test_status_misses_a_file_that_was_deleted(finished: Clone, model: str) -> None:
    path = next((finished.results / "mapped_points" / model).iterdir())
    with finished.edited(path):
        path.unlink()
        words = ("status", "config/trial.yaml", "--verify")
        done = finished.tool(sys.executable, "-m", "tenter.cli.main", *words)
    assert done.returncode == 3
    assert f"mapped_points/{model}/{path.name}" in done.stderr
