"""Derive the common grid and rules from a cohort's headers, once; no voxel is read."""

from __future__ import annotations

from pathlib import Path

from tenter import manifest as table
from tenter.config import PlanRules
from tenter.data import planning, plans


def plan(*, manifest: Path, settings: PlanRules, output: Path) -> None:
    """Derive the plan of a cohort.

    Args:
        manifest: table of pairs.
        settings: what overrides the derivation.
        output: the plan, JSON.

    Raises:
        DataError: naming every image whose header cannot be used.
    """
    pairs = tuple(pair.images() for pair in table.read(manifest))
    plans.write_plan(output, planning.derive(pairs, settings))
