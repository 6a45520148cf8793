"""The plan's file: what is derived once from a cohort's headers, readable and editable."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tenter import files
from tenter.errors import DataError
from tenter.records import Plan


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as JSON, whole or not at all."""
    files.write_json(path, asdict(plan))


def read_plan(path: Path) -> Plan:
    """Read a plan that `write_plan` wrote.

    Raises:
        DataError: the file is missing or no plan.
    """
    try:
        values = files.read_json(path)
        # A voxel size that was edited to `3` must have the digest of 3.0.
        spacing = tuple(float(size) for size in values["spacing_mm"])
        return Plan(**values | {"shape": tuple(values["shape"]), "spacing_mm": spacing})
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        message = f"{path}: is no plan ({reason}); delete it and run the workflow again"
        raise DataError(message) from error


def plan_digest(plan: Plan) -> str:
    """Hash of all that decides a case's voxels; the cohort's figures are left out of it."""
    return files.digest({name: value for name, value in asdict(plan).items() if name != "cohort"})
