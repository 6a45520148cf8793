"""Loading modules of large packages in less time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def nothing_is_garbage() -> Iterator[None]:
    """While modules are loaded, look for no garbage, nor ever among what they made: there is hardly any.

    Of the start of a command that needs torch, looking takes a fifth.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
