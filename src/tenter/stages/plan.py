"""Derive a cohort's common grid and rules from its headers, or copy those of a model."""

from __future__ import annotations

from pathlib import Path

from tenter import finished
from tenter.cases import planning, plans
from tenter.config import PlanRules
from tenter.errors import InputError
from tenter.manifest import rows as row_files
from tenter.records import Fault


def plan(
    *,
    rows: Path,
    settings: PlanRules,
    output: Path,
    model: Path | None = None,
    model_plan: str = "",
) -> None:
    """Derive the plan of a cohort, or copy that of the finished model that registers it.

    Only headers are read, no voxels.

    Args:
        rows: Rows of all pairs of the cohort, as a run writes them (JSON).
        settings: Values that override the derived ones (JSON).
        output: Plan to write (JSON).
        model: Folder of a finished model, whose plan is copied.
        model_plan: Hash of the model's plan when the job was planned; empty: it is not compared.

    Raises:
        DataError: the headers of some images cannot be used, or the model cannot register them; all
            of them are named.
        InputError: the model is damaged, or its plan differs from the settings.
    """
    images = row_files.read_images(rows)
    if model is None:
        plans.write_plan(output, planning.derive(images, settings))
        return
    applied = finished.load(model)
    conflicts = finished.conflicts(settings, applied, Path("--settings"))
    if model_plan not in {"", applied.digest}:
        conflicts = (
            Fault(str(model), "has another plan since this job was planned", "run snakemake again"),
        )
    if conflicts:
        raise InputError(conflicts)
    plans.write_plan(output, planning.adopt(images, applied.plan))
