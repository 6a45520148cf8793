"""The network of a training before its first step: random weights, or those of another model."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from torch import nn

from tenter import finished, networks
from tenter.config import TrainSettings
from tenter.errors import CheckpointError
from tenter.records import FINAL, Fault
from tenter.training import models
from tenter.training.fold_data import FoldData

_log = logging.getLogger(__name__)


def warm_start(folder: Path | None, fold: str) -> Path | None:
    """The folder of the initial weights: the same fold of a finished model, or `all`.

    Args:
        folder: a finished model or one of its folds; None for random weights.
        fold: the fold to be trained.

    Raises:
        CheckpointError: the folder holds no model of this fold.
    """
    if folder is None:
        return None
    candidates = (folder, folder / f"fold-{fold}", folder / f"fold-{FINAL}")
    for candidate in candidates:
        if (candidate / finished.DESCRIPTION).is_file():
            return candidate
    names = f"{finished.DESCRIPTION}, fold-{fold} or fold-{FINAL}"
    fix = "name a finished model"
    raise CheckpointError(Fault(str(folder), f"warm_start holds no {names}", fix))


def network(settings: TrainSettings, data: FoldData, start: Path | None) -> nn.Module:
    """Create a network with weights drawn for this seed and fold, or those of another model.

    Args:
        settings: of the training.
        data: cases that it will learn from.
        start: folder of the initial weights; None for random weights.

    Raises:
        CheckpointError: the initial weights are damaged or do not fit the network.
    """
    digest = hashlib.sha256(f"{settings.seed}/{data.fold}".encode()).digest()
    channels = (data.channels["moving"], data.channels["fixed"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(digest[:7]))
        created = networks.on_grid(settings.network, channels, data.shape)
    if start is not None:
        models.assign(created, models.weights(start), start / finished.WEIGHTS)
        _log.info("fold %s: starts from the weights of %s", data.fold, start)
    return created
