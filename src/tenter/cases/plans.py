"""The plan file: settings derived once from a cohort's headers, readable and editable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tenter import files
from tenter.records import Plan

_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as JSON, atomically."""
    files.write_json(path, asdict(plan))


def read_plan(path: Path) -> Plan:
    """Read a plan that `write_plan` wrote.

    Raises:
        DataError: the file is missing or is not a plan.
    """
    try:
        return plan_of(files.read_object(path, {}))
    except ValueError as error:
        raise files.damaged(path, f"is not a plan ({error})") from error


def plan_of(values: object) -> Plan:
    """The plan that a JSON object describes.

    Raises:
        ValueError: a value is absent, unknown, or of another type.
    """
    if not isinstance(values, Mapping):
        message = "it is not an object"
        raise ValueError(message)  # noqa: TRY004 - of the file, not of the caller
    unknown = sorted(values.keys() - {field.name for field in fields(Plan)})
    if unknown:
        message = f"unknown: {', '.join(unknown)}"
        raise ValueError(message)
    try:
        return _PLAN.validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ValueError(message) from error


def plan_digest(plan: Plan) -> str:
    """Hash of all settings that determine a case's voxels; the cohort's statistics are left out."""
    return files.digest({name: value for name, value in asdict(plan).items() if name != "cohort"})
