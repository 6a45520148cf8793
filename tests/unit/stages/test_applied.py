"""A finished model on another cohort: the study, `tenter register` and Python give one result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tenter
from builders import applied_study, new_patient
from builders.row_files import row_file
from tenter import provenance
from tenter.cases import plans
from tenter.config import PlanRules
from tenter.errors import DataError, InputError
from tenter.formats import transforms
from tenter.stages.plan import plan
from tenter.study import Study
from tenter.tools.register import register

PLANS: dict[str, dict[str, object]] = {
    "header": {"alignment": "header"},
    "centre": {"alignment": "centre"},
    "mass": {"alignment": "mass"},
    "file": {"alignment": "file"},
    "shape": {"shape": (8, 9, 11)},
    "isotropic": {"spacing_mm": (3.0, 3.0, 3.0)},
    "anisotropic": {"spacing_mm": (2.5, 1.75, 3.125), "alignment": "mass"},
    "minmax": {"intensity": "minmax"},
    "percentile": {"intensity": "percentile", "alignment": "header"},
    "other grid": {"shape": (6, 7, 5), "spacing_mm": (4.0, 3.0, 5.0), "intensity": "minmax"},
}
PLACES = np.array(
    [
        [10.0, 20.0, -5.0],
        [2.0, 12.0, -13.0],
        [17.0, 29.0, 3.0],
        [6.0, 27.0, 0.0],
        [300.0, -80.0, 5.0],
    ]
)
"""Fixed points, RAS mm: the middle of the fixed image, its ends, and one far beyond."""


def write_model(folder: Path, change: dict[str, object]) -> None:
    for fold in "01":
        model_plan = replace(new_patient.PLAN, **change)  # type: ignore[arg-type] # by name
        new_patient.write_model(folder / "model", fold, model_plan)


@pytest.mark.parametrize("change", PLANS)
def test_a_study_gives_what_register_gives_by_whatever_plan(tmp_path: Path, change: str) -> None:
    write_model(tmp_path, PLANS[change])
    start = PLANS[change].get("alignment") == "file"
    config = applied_study.write_study(tmp_path, start=start)
    by_study = applied_study.register_by_study(config).map_points(PLACES)
    images = tmp_path / "mr.nii.gz", tmp_path / "us.nii.gz"
    initial = tmp_path / applied_study.START if start else None
    in_python = tenter.register(
        tmp_path / "model", *images, initial_transform=initial, device="cpu"
    )
    register(
        model=(tmp_path / "model",),
        moving=images[0],
        fixed=images[1],
        out=tmp_path / "out",
        initial_transform=initial,
        device="cpu",
    )
    by_command = transforms.read_transform(tmp_path / "out/transform.h5").map_points(PLACES)
    np.testing.assert_allclose(by_study, in_python.transform.map_points(PLACES), rtol=0, atol=1e-6)
    np.testing.assert_allclose(by_study, by_command, rtol=0, atol=1e-6)


def test_alignments_of_the_test_patient_lie_apart(tmp_path: Path) -> None:
    """Else the agreement above would say nothing about alignments."""
    write_model(tmp_path, {})
    images = tmp_path / "mr.nii.gz", tmp_path / "us.nii.gz"
    applied_study.write_study(tmp_path, start=True)
    middles = []
    for rule in ("header", "centre", "mass", "file"):
        initial = tmp_path / applied_study.START if rule == "file" else None
        result = tenter.register(
            tmp_path / "model", *images, alignment=rule, initial_transform=initial
        )
        middles.append(result.transform.without_field().map_points(PLACES[:1])[0])
    apart = [np.linalg.norm(a - b) for i, a in enumerate(middles) for b in middles[:i]]
    assert min(apart) > 0.1


@pytest.mark.parametrize("change", PLANS)
def test_the_plan_is_the_models_with_the_cohorts_own_figures(tmp_path: Path, change: str) -> None:
    write_model(tmp_path, PLANS[change])
    config = applied_study.write_study(tmp_path, start=change == "file")
    applied_study.register_by_study(config)
    adopted = plans.read_plan(tmp_path / "plan.json")
    trained = replace(new_patient.PLAN, **PLANS[change])  # type: ignore[arg-type] # by name
    assert replace(adopted, cohort={}) == replace(trained, cohort={})
    assert adopted.cohort["pairs"] == 1


@pytest.mark.parametrize(
    "stated",
    [
        {"alignment": "header"},
        {"intensity": "percentile"},
        {"spacing_mm": 6},
        {"shape": [10, 12, 9]},
        {"alignment": "mass", "spacing_mm": [2, 2, 2]},
    ],
)
def test_a_plan_that_contradicts_the_model_is_refused_when_the_workflow_is_parsed(
    tmp_path: Path, stated: dict[str, object]
) -> None:
    write_model(tmp_path, {})
    study = Study.load(applied_study.write_study(tmp_path, plan=stated))
    with pytest.raises(InputError) as caught:
        _ = study.plan.rules
    assert [fault.column for fault in caught.value.faults] == [
        f"plan.{key}" for key in sorted(stated)
    ]
    with pytest.raises(InputError, match="the plan comes from the model"):
        plan(
            rows=row_file(tmp_path, tmp_path / "manifest.tsv"),
            settings=PlanRules.model_validate(stated),
            output=tmp_path / "plan.json",
            model=tmp_path / "model",
        )
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"alignment": "mass"},
        {"shape": (10, 12, 9)},
        {"spacing_mm": (2.0, 2.0, 2.0)},
        {"intensity": "minmax"},
        {"moving_channels": 2},
    ],
)
def test_a_changed_model_makes_the_plan_stale(tmp_path: Path, change: dict[str, object]) -> None:
    write_model(tmp_path, {})
    config = applied_study.write_study(tmp_path)
    applied_study.register_by_study(config)
    plan_file = tmp_path / "plan.json"
    study = Study.load(config)
    provenance.record(plan_file, "plan", study.settings("plan"), study.code("plan"))
    assert study.plan.is_current(plan_file)
    write_model(tmp_path, change)
    assert not Study.load(config).plan.is_current(plan_file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moving_channels": 2}, "moving images have 1 channels, the model's have 2"),
        ({"fixed_channels": 3}, "fixed images have 1 channels, the model's have 3"),
        (
            {"shape": (10, 12, 1)},
            r"fixed images are a volume, the model's grid is a slice \(axial\)",
        ),
        (
            {"shape": (1, 12, 8)},
            r"fixed images are a volume, the model's grid is a slice \(sagittal\)",
        ),
        ({"shape": (10, 1, 8), "moving_channels": 2}, r"(?s)moving images have 1 channels.*slice"),
    ],
)
def test_images_of_another_kind_than_the_models_have_no_plan(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write_model(tmp_path, change)
    applied_study.write_study(tmp_path)
    with pytest.raises(DataError, match=message):
        plan(
            rows=row_file(tmp_path, tmp_path / "manifest.tsv"),
            settings=PlanRules(),
            output=tmp_path / "plan.json",
            model=tmp_path / "model",
        )


def test_a_model_that_changed_since_the_job_was_planned_gives_no_plan(tmp_path: Path) -> None:
    write_model(tmp_path, {})
    study = Study.load(applied_study.write_study(tmp_path))
    flags = dict(zip(study.plan.model_flags()[::2], study.plan.model_flags()[1::2], strict=True))
    write_model(tmp_path, {"moving_channels": 2})
    with pytest.raises(
        InputError, match="has another plan since this job was planned; run snakemake again"
    ):
        plan(
            rows=row_file(tmp_path, tmp_path / "manifest.tsv"),
            settings=PlanRules(),
            output=tmp_path / "plan.json",
            model=Path(flags["--model"]),
            model_plan=flags["--model-plan"],
        )
