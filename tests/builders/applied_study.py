"""A cohort of one new patient and the study that registers it by a finished model,
stage by stage.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import yaml

from builders import new_patient
from builders.row_files import row_file
from tenter.config import ImageSettings, InferSettings, PlanRules
from tenter.formats import transforms
from tenter.spatial.transform import Transform
from tenter.stages.infer import infer
from tenter.stages.plan import plan
from tenter.stages.prepare_images import prepare_images
from tenter.study import Study

START = "start.tfm"


def write_start(folder: Path) -> Path:
    """An initial transform, fixed to moving points: a turn of 10 degrees and a shift."""
    transform = sitk.Euler3DTransform(
        (10.0, 20.0, -5.0), 0.0, 0.0, np.deg2rad(10), (30.0, -15.0, -8.0)
    )
    sitk.WriteTransform(transform, str(folder / START))
    return folder / START


def write_study(folder: Path, *, start: bool = False, **keys: object) -> Path:
    """Images, manifest and configuration `applied.yaml` of a study
    that applies the model `model`.
    """
    new_patient.write_images(folder)
    columns = ["pair", "patient", "moving_image", "fixed_image"]
    cells = ["p", "p", "mr.nii.gz", "us.nii.gz"]
    if start:
        columns.append("initial_transform")
        cells.append(write_start(folder).name)
    lines = "\n".join("\t".join(line) for line in (columns, cells))
    (folder / "manifest.tsv").write_text(f"{lines}\n", encoding="utf-8")
    content = {"study": "applied", "manifest": "manifest.tsv", "model": "model"} | keys
    path = folder / "applied.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def register_by_study(config: Path) -> Transform:
    """The transform of pair `p`, by the stages with the settings that the workflow gives them."""
    study = Study.load(config)
    root = config.parent
    given = {"rows": row_file(root, study.cohort.manifest), "code": "c"}
    plan(
        rows=row_file(root, study.cohort.manifest),
        settings=PlanRules.model_validate_json(study.settings("plan")),
        output=root / "plan.json",
        model=study.applied,
    )
    prepare_images(
        **given,  # type: ignore[arg-type] # by name
        plan=root / "plan.json",
        settings=ImageSettings.model_validate_json(study.settings("prepare_images")),
        cases=root / "cases",
        table=root / "images.tsv",
    )
    infer(
        **given,  # type: ignore[arg-type] # by name
        images=root / "images.tsv",
        cases=root / "cases",
        models=tuple(study.members(Path(), "model", "test-0")),
        settings=InferSettings.model_validate_json(study.settings("infer", "model")),
        output=root / "fields",
        table=root / "t.tsv",
        device="cpu",
    )
    return transforms.read_transform(root / "fields/p/transform.h5")
