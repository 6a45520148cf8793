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
from tenter.registration import answers, ensemble, pair_files
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
    answer = answers.answer(images, members, settings.test_time)
    transform = answer.transform(images)
    seconds = time.perf_counter() - start
    if answer.complaint is not None:
        _log.warning("%s: %s", pair.id, answer.complaint)
    named_members = zip(ensemble.names(members), answer.members, strict=True)
    paths, figures = pair_files.write(
        folder, transform, (pair, images), settings.export, list(named_members)
    )
    return paths, {
        "pair": pair.id,
        "models": [{"fold": member.fold, "sha256": member.sha256} for member in members],
        **figures,
        **({} if answer.done is None else {"test_time": answer.done}),
        "seconds": {"network": round(seconds, 3), "all": round(time.perf_counter() - start, 3)},
        "device": answer.field.device.type,
    }
