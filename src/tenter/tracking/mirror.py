"""The mirror of a running training: a recorder with its own thread that gives up in time."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tenter.errors import TrackingError
from tenter.tracking.failures import reason
from tenter.tracking.location import Place
from tenter.tracking.runs import Run, fold_run, points
from tenter.tracking.store import client, experiment_id

_RETRY_S = 0.5
_log = logging.getLogger(__name__)


class Mirror:
    """A recorder that mirrors a training in its own thread, without stopping or delaying it.

    When the server fails for longer than the place's `timeout_s` in total, the mirror gives up with
    one warning; `publish` completes it from the files.

    Args:
        place: destination of the mirror.
        model: name of the model.
        description: of the model being trained, as for `model.json`.
    """

    def __init__(self, place: Place, model: str, description: Mapping[str, Any]) -> None:
        self._place = place
        self._model = model
        self._description = description
        self._run: Run | None = None
        self._lost = 0.0
        self._rows: queue.SimpleQueue[Mapping[str, float] | str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def __enter__(self) -> Mirror:  # noqa: PYI034 - beartype cannot check Self in a method
        """Open the run, in parallel with the training."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the run, within the time limit."""
        self._rows.put(_status(kind))
        self._thread.join(self._place.timeout_s * 0.8)
        if self._thread.is_alive():
            _log.warning("%s: does not keep up; publishing completes the mirror", self._place.uri)

    def record(self, row: Mapping[str, float]) -> None:
        """Queue a row; returns at once."""
        self._rows.put(dict(row))

    def _work(self) -> None:
        waiting: list[Mapping[str, float]] = []
        status: str | None = None
        going = self._sent([], None)
        while going and status is None:
            message = self._rows.get()
            if isinstance(message, str):
                status = message
            else:
                waiting.append(message)
            going = self._sent(waiting, status)
            waiting.clear()

    def _sent(self, rows: Sequence[Mapping[str, float]], status: str | None) -> bool:
        """Send rows, with retries until the time for failures is used up."""
        while True:
            begin = time.monotonic()
            try:
                self._send(rows, status)
            except TrackingError as error:  # a retry does not help
                self._give_up(error)
                return False
            except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
                time.sleep(_RETRY_S)
                self._lost += time.monotonic() - begin
                if self._lost > self._place.timeout_s / 2:
                    self._give_up(error)
                    return False
            else:
                return True

    def _send(self, rows: Sequence[Mapping[str, float]], status: str | None) -> None:
        if self._run is None:
            server = client(self._place)
            place = replace(self._place, experiment_id=experiment_id(server, self._place))
            self._run = fold_run(server, place, self._model, self._description)
            server.update_run(self._run.id, status="RUNNING")
        self._run.fill(points(rows))
        if status is not None:
            self._run.client.set_terminated(self._run.id, status=status)

    def _give_up(self, error: Exception) -> None:
        text = "%s: gave up mirroring this training (%s); publishing will try again"
        _log.warning(text, self._place.uri, reason(error, self._place))


def _status(kind: type[BaseException] | None) -> str:
    if kind is None:
        return "FINISHED"
    return "FAILED" if issubclass(kind, Exception) else "KILLED"
