"""Reads a configuration that may be faulty, so that the cohort can be checked all the same."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tenter import config as configuration
from tenter.config import Config, yaml_files
from tenter.errors import InputError
from tenter.records import Fault

NO_MODEL = Path(os.devnull)
"""Placeholder for a finished model while the cohort of a faulty configuration is checked."""


def read(path: Path, content: str) -> tuple[Config | None, list[Fault]]:
    """The configuration, or None if nothing of it can be used, with its faults.

    A faulty configuration is reduced to its valid sections.

    Args:
        path: configuration file.
        content: JSON object of top-level keys that replace those of the file.
    """
    document: object = None
    try:
        document = yaml_files.read(path)
        if isinstance(document, dict):
            document |= _overrides(content, path)
        return configuration.parse(document, path), []
    except InputError as error:
        faults = list(error.faults)
    if not isinstance(document, dict):
        return None, faults
    faulty_sections = {(fault.column or "").split(".")[0] for fault in faults}
    sound = {key: value for key, value in document.items() if key not in faulty_sections}
    # The cohort's faults do not depend on the models that register it.
    substitute = {"study": "unnamed", **sound, "models": {}, "summary": {}}
    substitute["model"] = sound.get("model") or NO_MODEL
    try:
        return configuration.parse(substitute, path), faults
    except InputError:
        return None, faults


def _overrides(content: str, path: Path) -> dict[str, object]:
    try:
        stated = json.loads(content or "{}")
    except ValueError:
        stated = None
    if isinstance(stated, dict):
        return stated
    fault = Fault(
        str(path),
        "`--content` is not a JSON object",
        "give an object of top-level keys and their values",
    )
    raise InputError([fault])
