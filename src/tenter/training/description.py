"""What `model.json` says of a training: what the weights depend on, and where they come from."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tenter import __version__, files, finished
from tenter.cases import plans
from tenter.config import TrainSettings, custom
from tenter.sampling.cohort import Case
from tenter.training import models
from tenter.training.fold_data import FoldData


def identity(
    settings: TrainSettings, data: FoldData, start: Path | None, code: str
) -> dict[str, str]:
    """What the weights depend on: checkpoints of another identity are not resumed.

    Args:
        settings: of the training.
        data: cases of the fold.
        start: folder of the initial weights; None for random weights.
        code: fingerprint of the code.

    Raises:
        CheckpointError: the description of the initial weights is damaged.
    """
    portable = custom.portable(settings).model_dump(mode="json", exclude={"warm_start"})
    return {
        "code": code,
        "fold": data.fold,
        "settings": files.digest(portable),
        "cohort": data.digest,
        "plan": plans.plan_digest(data.plan),
        "warm_start": finished.describe(start)["weights_sha256"] if start else "",
    }


def before_training(
    settings: TrainSettings, data: FoldData, identified: Mapping[str, str]
) -> dict[str, Any]:
    """The content of `model.json` that is known before training, without local paths.

    Args:
        settings: of the training.
        data: cases of the fold.
        identified: result of `identity`.
    """
    described = custom.portable(settings).model_dump(mode="json")
    if settings.warm_start is not None:
        described["warm_start"] = settings.warm_start.name
    return {
        "fold": data.fold,
        "network": described["network"],
        "channels": data.channels,
        "settings": described,
        "plan": asdict(data.plan),
        "identity": dict(identified),
        **models.code_of(settings),
        "trained_on": list(data.split.training),
        "validated_on": list(data.split.validation),
        "left_out": list(data.split.left_out),
        "patients": {
            "trained_on": _patients(data.training),
            "validated_on": _patients(data.validation),
        },
        "provenance": {
            "code": identified["code"],
            "tenter": __version__,
            "commit": _commit(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        },
    }


def _patients(cases: Iterable[Case]) -> list[str]:
    return sorted({patient for case in cases for patient in case.patients})


def _commit() -> str | None:
    """Commit of the clone that the package runs from; None without a clone."""
    repository = Path(__file__).parents[3]
    if not (repository / ".git").exists():
        return None
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    try:
        completed = subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip()
