"""Registration of a cohort's prepared pairs by networks."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenter.cases import case_files
from tenter.config import InferSettings
from tenter.records import ImagePair
from tenter.registration import ensemble, pair_files, prediction
from tenter.training.models import LoadedModel

_log = logging.getLogger(__name__)


def register_prepared(
    pair: ImagePair,
    case_folder: Path,
    members: Sequence[LoadedModel],
    settings: InferSettings,
    folder: Path,
) -> tuple[list[Path], dict[str, Any]]:
    """Register one prepared pair and write its transforms and the files that are asked for.

    Args:
        pair: the pair.
        case_folder: `cases/<pair>`.
        members: the models; the fields of several are averaged.
        settings: files to write, and test-time steps after the networks.
        folder: folder to write to; other files of an earlier registration are removed from it.

    Returns:
        The files written, and the content of their sidecar.

    Raises:
        CheckpointError: a model was trained on differently prepared cases.
        DataError: the case or the original moving image cannot be used.
        OutputError: a result could not be written.
    """
    start = time.perf_counter()
    images = case_files.read_images(case_folder)
    for member in members:
        ensemble.require_same_plan(member, images, pair.id, images.plan)
    predicted = prediction.predict(images, members, settings.test_time)
    transform = predicted.transform(images)
    seconds = time.perf_counter() - start
    if predicted.refinement_failure is not None:
        _log.warning("%s: %s", pair.id, predicted.refinement_failure)
    named_members = zip(ensemble.names(members), predicted.members, strict=True)
    paths, figures = pair_files.write(
        folder, transform, (pair, images), settings.export, list(named_members)
    )
    return paths, {
        "pair": pair.id,
        "models": [{"fold": member.fold, "sha256": member.sha256} for member in members],
        **figures,
        **({} if predicted.test_time is None else {"test_time": predicted.test_time}),
        "seconds": {"network": round(seconds, 3), "all": round(time.perf_counter() - start, 3)},
        "device": predicted.field.device.type,
    }
