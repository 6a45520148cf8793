from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builders.row_files import row_file
from tenter.cases import plans
from tenter.config import PlanRules
from tenter.errors import DataError
from tenter.stages.plan import plan

MakeCohort = Any


def test_the_plan_of_a_cohort(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    plan(
        rows=row_file(tmp_path, tiny_cohort().manifest),
        settings=PlanRules(),
        output=tmp_path / "plan.json",
    )
    derived = plans.read_plan(tmp_path / "plan.json")
    assert (derived.shape, derived.spacing_mm) == ((12, 14, 10), (2.0, 2.0, 2.0))
    assert (derived.intensity, derived.alignment) == ("zscore", "header")
    assert derived.cohort["pairs"] == 2


def test_a_bad_header_is_named_and_no_plan_is_written(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort()
    cohort.file("pair01", "moving_image").write_bytes(b"")
    with pytest.raises(DataError, match=r"moving/pair01\.nii\.gz: is empty"):
        plan(
            rows=row_file(tmp_path, cohort.manifest),
            settings=PlanRules(),
            output=tmp_path / "plan.json",
        )
    assert not (tmp_path / "plan.json").exists()


def test_the_example_cohort_at_3_mm(shared: Path, tmp_path: Path) -> None:
    rules = PlanRules(spacing_mm=3.0, alignment="centre")
    plan(
        rows=row_file(tmp_path, shared / "mrus" / "manifest.tsv"),
        settings=rules,
        output=tmp_path / "plan.json",
    )
    assert plans.read_plan(tmp_path / "plan.json").shape == (24, 32, 22)


def test_the_plan_of_subjects_is_of_their_pairs(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    lines = [
        f"{row['pair']}{side}\t{row['patient']}\t{row[f'{side}_image']}"
        for row in tiny_cohort().rows()
        for side in ("moving", "fixed")
    ]
    table = tiny_cohort().manifest.with_name("subjects.tsv")
    table.write_text("\n".join(["subject\tpatient\timage", *lines]) + "\n")
    for name, ids in (("all", None), ("drawn", ["pair00moving--pair01fixed"])):
        rows = row_file(tmp_path, table, ids)
        plan(rows=rows, settings=PlanRules(), output=tmp_path / f"{name}.json")
    assert plans.read_plan(tmp_path / "all.json").cohort["pairs"] == 12
    assert plans.read_plan(tmp_path / "drawn.json").shape == (12, 14, 10)
    assert plans.read_plan(tmp_path / "drawn.json").cohort["pairs"] == 1
