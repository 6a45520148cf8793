"""Fingerprints of the code of a study's stages, and the code changes that its user accepted."""

from __future__ import annotations

from pathlib import Path

from tenter import files, provenance


def code(stage: str, name: str | None, settings: str, accepted: Path) -> str:
    """Fingerprint of a stage's code: in a job as planned, otherwise as accepted or as it is.

    Args:
        stage: its name.
        name: the model of a training, or the registrar of a registration.
        settings: canonical JSON of the stage's settings.
        accepted: the study's file of accepted code changes.
    """
    planned = provenance.planned_code(stage if name is None else f"{stage}/{name}")
    if planned is not None:
        return planned
    return provenance.accepted(provenance.fingerprint(stage, settings), accepted)


def accepted_file(config: Path) -> Path:
    """The file of accepted code changes, beside a configuration."""
    return config.with_name(f"{config.stem}.accepted.json")


def digest(accepted: Path) -> str:
    """Short fingerprint of the accepted code changes, which the report shows."""
    return files.sha256(accepted)[:16] if accepted.is_file() else ""
