"""Checkpoints of a training: written atomically with a sha256; the previous one is kept."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tenter import files, system_errors
from tenter.errors import CheckpointError, DataError
from tenter.records import Fault

KEPT = 2
"""Number of checkpoints kept: the latest, and one to fall back on."""

_SIDECAR: dict[str, files.Kind] = {"step": int, "sha256": str, "identity": dict}

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one training, in a folder of their own.

    Each is `step-<n>.pt` with a sidecar `step-<n>.json` (sha256, identity), which is written last;
    a checkpoint without a matching sidecar is ignored.

    Args:
        folder: created with the first checkpoint; must not be a declared output of a workflow.
        identity: strings that identify the training's inputs (settings, code, cohort, fold).
    """

    def __init__(self, folder: Path, identity: Mapping[str, str]) -> None:
        self.folder = folder
        self.identity = dict(identity)

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        """Write a checkpoint and drop all but the last two.

        Args:
            step: steps done.
            state: tensors and plain values.

        Raises:
            OutputError: the disk is full or the folder not writable; earlier ones stay intact.
        """
        path = self.folder / f"step-{step:09d}.pt"
        content = io.BytesIO()  # written to a full disk, torch would hide the reason
        torch.save(dict(state), content)
        # Hash the buffer, not the file: an orphaned process on a lost node may still write here.
        digest = hashlib.sha256(content.getbuffer()).hexdigest()
        with files.written_whole(path) as temporary:
            temporary.write_bytes(content.getbuffer())
        sidecar = {"step": step, "sha256": digest, "identity": self.identity}
        files.write_json(path.with_suffix(".json"), sidecar)
        self.prune(KEPT)

    def latest(self) -> dict[str, Any] | None:
        """Read the newest valid checkpoint; damaged ones are skipped with a warning.

        Returns:
            its state on the CPU, or None if there is none.

        Raises:
            CheckpointError: it belongs to another training; the message names the differences.
        """
        for path, sidecar in self._sidecars():
            state = _state(path, sidecar)
            if state is not None:
                self._refuse(path, self._differing(sidecar["identity"]))
                _log.info("%s: training goes on from step %d", path, sidecar["step"])
                return state
        return None

    def renew(self, fixed: Collection[str] = ()) -> None:
        """Delete checkpoints written before the settings, code or cohort changed.

        Args:
            fixed: identity keys that may never change, such as the fold.

        Raises:
            CheckpointError: one of `fixed` differs: the folder belongs to another training.
        """
        for path, sidecar in self._sidecars():
            differing = self._differing(sidecar["identity"])
            if not set(differing).isdisjoint(fixed):
                self._refuse(path, differing)
            if differing:
                _log.warning(
                    "%s: %s changed since; training starts afresh", path, ", ".join(differing)
                )
                self.prune(0)
                return

    def prune(self, count: int) -> None:
        """Delete all but the newest `count` checkpoints, and leftovers of interrupted writes."""
        good = [path for path, _ in self._sidecars()][:count]
        for path in self.folder.glob("step-*"):
            if path.with_suffix(".pt") not in good:
                files.remove(path)

    def _sidecars(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted(self.folder.glob("step-*.json"), reverse=True):
            try:
                sidecar = files.read_object(path, _SIDECAR, "an earlier checkpoint is tried")
            except DataError as error:
                _log.warning("%s", error)
                continue
            yield path.with_suffix(".pt"), sidecar

    def _differing(self, identity: Mapping[str, str]) -> list[str]:
        keys = sorted(self.identity.keys() | identity.keys())
        return [key for key in keys if self.identity.get(key) != identity.get(key)]

    def _refuse(self, path: Path, differing: Sequence[str]) -> None:
        if differing:
            message = f"belongs to another training (differing: {', '.join(differing)})"
            fix = "name another folder of checkpoints, or delete this one"
            raise CheckpointError(Fault(str(path), message, fix))


def _state(path: Path, sidecar: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        if files.sha256(path) != sidecar["sha256"]:
            _log.warning("%s: damaged (sha256 differs); an earlier checkpoint is tried", path)
            return None
        state: object = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        fault = system_errors.fault(error, path, "read")
        _log.warning("%s; an earlier checkpoint is tried", fault.text)
        return None
    except (pickle.UnpicklingError, RuntimeError, ValueError, LookupError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        _log.warning("%s: refused (%s); an earlier checkpoint is tried", path, reason)
        return None
    if not isinstance(state, dict):
        _log.warning("%s: holds no training state; an earlier checkpoint is tried", path)
        return None
    return state
