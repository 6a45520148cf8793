"""Derive the common grid and rules from a cohort's headers, once; no voxel is read."""

from __future__ import annotations

from pathlib import Path

from tenter import manifest as table
from tenter.config import PlanRules
from tenter.data import planning, plans
from tenter.manifest import pairing


def plan(*, manifest: Path, settings: PlanRules, output: Path, pairs: Path | None = None) -> None:
    """Derive the plan of a cohort.

    Args:
        manifest: table of pairs, or of subjects.
        settings: what overrides the derivation.
        output: the plan, JSON.
        pairs: list of the pairs drawn from subjects; default: all that they can make.

    Raises:
        DataError: naming every image whose header cannot be used.
        InputError: the manifest is faulty, or lacks a pair of the list.
    """
    rows = table.read(manifest) if pairs is None else table.pairs(manifest, pairing.read_lock(pairs))
    plans.write_plan(output, planning.derive(tuple(pair.images() for pair in rows), settings))
