"""A finished study as it is mirrored: what must exist, its trained folds, and files to upload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from tenter import addresses, finished
from tenter.config import Config
from tenter.errors import DataError
from tenter.history import read_history
from tenter.records import Fault
from tenter.result_files import ResultFiles
from tenter.study import Study
from tenter.tracking.publishing import FoldResult

FINISH = "finish the study first: snakemake --profile profiles/local --configfile"


def require_finished(study: Study, models: Sequence[str]) -> None:
    """Check that models exist and that all files of theirs that are mirrored are there.

    Raises:
        DataError: there is no such model, or files are missing.
    """
    unknown = [model for model in models if model not in study.models]
    if unknown or not models:
        lack = f"has no model {unknown[0]!r}" if unknown else "trains no model"
        fix = f"name one that can be published: {', '.join(study.models) or 'there is none'}"
        raise DataError(Fault(str(study.path), f"the study {lack}", fix))
    paths = ResultFiles.of(study.results)
    descriptions = [
        paths.trained(model, fold) / finished.DESCRIPTION
        for model in models
        for fold in study.trained_folds(model)
    ]
    required = [*paths.tables(), paths.report, *descriptions]
    missing = [path for path in required if not path.is_file()]
    if missing:
        others = f", as are {len(missing) - 1} more files" if len(missing) > 1 else ""
        message = f"is missing{others}"
        raise DataError(Fault(str(missing[0]), message, f"{FINISH} {study.path}"))


def fold_result(folder: Path, figures: Mapping[str, float]) -> FoldResult:
    """A trained fold, from its files.

    Args:
        folder: of the trained network.
        figures: of the pairs that it registered, by metric.

    Raises:
        DataError: a file is missing or damaged.
    """
    description = finished.describe(folder)
    history = folder / finished.HISTORY
    end = int(history.stat().st_mtime * 1000)
    seconds = description.get("seconds")
    names = (finished.WEIGHTS, finished.DESCRIPTION, finished.HISTORY)
    return FoldResult(
        description=description,
        history=read_history(history),
        figures=figures,
        artifacts=[folder / name for name in names],
        span=None if seconds is None else (end - int(1000 * seconds), end),
    )


def artifacts(study: Study) -> dict[str, Path | str]:
    """The files of a study to upload, or their text, by their path among a run's artifacts."""
    paths = ResultFiles.of(study.results)
    uploads: dict[str, Path | str] = {paths.report.name: paths.report}
    uploads |= {f"tables/{path.name}": path for path in paths.tables()}
    cohort = [path for path in (paths.plan, paths.folds) if path is not None and path.is_file()]
    uploads |= {f"study/{path.name}": path for path in cohort}
    return uploads | {"study/configuration.yaml": configuration(study.config)}


def configuration(config: Config) -> str:
    """A configuration as YAML with all defaults, without logins and folders of this machine."""
    values = _portable(config.model_dump(mode="python"))
    return yaml.safe_dump(addresses.masked_values(values), sort_keys=False, allow_unicode=True)


def _portable(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _portable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(entry) for entry in value]
    if isinstance(value, Path):
        return value.name if value.is_absolute() else str(value)
    return value
