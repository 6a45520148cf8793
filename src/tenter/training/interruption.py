"""Being asked to stop: signals become a flag that the loop looks at after each step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

_EXIT_CODES = {
    signal.SIGTERM: 128 + signal.SIGTERM,  # a scheduler takes the node back
    signal.SIGUSR1: 128 + signal.SIGTERM,  # a scheduler warns that time is running out
    signal.SIGINT: 128 + signal.SIGINT,  # Ctrl-C
}


@dataclass(slots=True)
class Stop:
    """Whether a stop was asked for, and the exit code that tells so."""

    code: int | None = None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGTERM, SIGUSR1 and the first SIGINT into a flag; outside the main thread, none is."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _frame: object) -> None:
        stop.code = _EXIT_CODES[signal.Signals(number)]
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in _EXIT_CODES}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
