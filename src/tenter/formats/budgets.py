"""How much memory several threads may take together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Budget:
    """Bytes in flight: who asks for more than is left waits for others to finish.

    Args:
        total: bytes that all threads may hold together; one alone may hold more.
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
