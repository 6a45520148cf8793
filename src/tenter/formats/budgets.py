"""A limit on the memory that several threads use together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Budget:
    """Bytes in use: a thread that asks for more than remains waits until others finish.

    Args:
        total: bytes that all threads may hold together; a single thread may hold more.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Hold some bytes while a block runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + count <= self._total)
            self._held += count
        try:
            yield
        finally:
            with self._changed:
                self._held -= count
                self._changed.notify_all()
