"""tenter: weakly supervised registration of multimodal medical images, for whole cohorts.

Importing the package is cheap: its names are loaded from `tenter.api` on first use.
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenter.api import (
        LabelVolume,
        Registration,
        Transform,
        Volume,
        dice,
        read_image,
        read_labels,
        read_points,
        read_transform,
        register,
        tre_mm,
        warp,
        write_image,
        write_labels,
        write_transform,
    )

__version__ = "0.1.0.dev0"

__all__ = [
    "LabelVolume",
    "Registration",
    "Transform",
    "Volume",
    "dice",
    "read_image",
    "read_labels",
    "read_points",
    "read_transform",
    "register",
    "tre_mm",
    "warp",
    "write_image",
    "write_labels",
    "write_transform",
]

STARTED = time.perf_counter()
"""When the package was imported; commands log the import time from it."""


if not TYPE_CHECKING:  # type checkers complain of unknown names

    def __getattr__(name: str) -> object:
        if name in __all__:
            return getattr(importlib.import_module("tenter.api"), name)
        message = f"module 'tenter' has no attribute {name!r}"
        raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
