"""Recorders of a training: the protocol, and the recorder that keeps all rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from tenter.history import Row


@runtime_checkable
class Recorder(Protocol):
    """Receives the reports of a training; it must never stop it or slow it down."""

    def record(self, row: Mapping[str, float]) -> None:
        """Take a row: `step` (steps done) and figures by name."""


class History:
    """All rows of a training so far, including those before an interruption.

    Args:
        rows: from a checkpoint.
    """

    def __init__(self, rows: Iterable[Mapping[str, float]] = ()) -> None:
        self.rows: list[Row] = [dict(row) for row in rows]

    def record(self, row: Mapping[str, float]) -> None:
        """Keep a row."""
        self.rows.append(dict(row))
