"""Derive the common grid and rules from a cohort's headers, or take a model's; reads no voxel."""

from __future__ import annotations

from pathlib import Path

from tenter import finished
from tenter import manifest as table
from tenter.cases import planning, plans
from tenter.config import PlanRules
from tenter.errors import InputError
from tenter.manifest import pairing
from tenter.records import Fault


def plan(
    *,
    manifest: Path,
    settings: PlanRules,
    output: Path,
    pairs: Path | None = None,
    model: Path | None = None,
    model_plan: str = "",
) -> None:
    """Derive the plan of a cohort, or take that of the finished model which registers it.

    Args:
        manifest: table of pairs, or of subjects.
        settings: what overrides the derivation.
        output: the plan, JSON.
        pairs: list of the pairs drawn from subjects; default: all that they can make.
        model: folder of a finished model; its plan is taken whole.
        model_plan: hash of the model's plan when the job was planned; empty: it is not compared.

    Raises:
        DataError: naming every image whose header cannot be used, or that the model cannot register.
        InputError: the manifest is faulty, or lacks a pair of the list; the model is damaged, or its
            plan differs from the settings.
    """
    rows = table.read(manifest) if pairs is None else table.pairs(manifest, pairing.read_lock(pairs))
    images = tuple(pair.images() for pair in rows)
    if model is None:
        plans.write_plan(output, planning.derive(images, settings))
        return
    applied = finished.load(model)
    wrong = finished.conflicts(settings, applied, Path("--settings"))
    if model_plan not in {"", applied.digest}:
        wrong = (Fault(str(model), "has another plan since this job was planned", "run snakemake again"),)
    if wrong:
        raise InputError(wrong)
    plans.write_plan(output, planning.adopt(images, applied.plan))
