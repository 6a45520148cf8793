"""Errors, one class for each cause that a user can fix.

Exit codes: 2 for bad input or configuration (nothing was started), 3 for a fault
found while a job was running, 130/143 for signals.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenter import system_errors
from tenter.records import Fault


class TenterError(Exception):
    """Any error that a user can fix; its text is printed without a traceback.

    Attributes:
        faults: all faults found in one pass; code that needs to know more than the class of an
            error reads these and never the text.
    """

    exit_code = 3

    def __init__(self, faults: Fault | Sequence[Fault]) -> None:
        self.faults = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__(self.faults)  # as arguments, so that the error can be pickled

    def __str__(self) -> str:
        """One line for each fault."""
        return "\n".join(fault.text for fault in self.faults)


class InputError(TenterError):
    """The configuration, the manifest or a file in it cannot be used."""

    exit_code = 2

    def __str__(self) -> str:
        """One line for each fault, with its severity: some of them may be warnings."""
        return "\n".join(str(fault) for fault in self.faults)


class DataError(TenterError):
    """A file changed, disappeared, or turned out to be damaged after the check."""


class FormatError(DataError):
    """A file is not in the format that is expected, whatever else it may be."""


class InvalidValueError(ValueError):
    """A value of the configuration or of a manifest's cell cannot be used.

    Whoever reads the file adds the place and raises or collects a fault.

    Attributes:
        message: what is wrong with the value.
        fix: what to do about it.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message, fix)
        self.message, self.fix = message, fix

    def __str__(self) -> str:
        """Message and fix."""
        return f"{self.message}; {self.fix}"


class CodeChangedError(TenterError):
    """The package was edited between the planning of a job and its start."""


class CheckpointError(TenterError):
    """A checkpoint or model is of another configuration, fold, cohort or code."""


class TrainingError(TenterError):
    """Training cannot continue: the loss is not finite, or memory ran out."""


class DeviceError(TenterError):
    """The requested device is not available."""

    exit_code = 2


class OutputError(TenterError):
    """A result could not be written completely (disk full, quota, permission)."""


class TrackingError(TenterError):
    """The tracking server or its database cannot be reached, or refuses requests."""


def faults(error: BaseException) -> tuple[Fault, ...] | None:
    """What users are shown of an error; None for a defect in tenter.

    Args:
        error: an error of tenter or of the operating system, or raised from one of these.
    """
    if isinstance(error, TenterError):
        return error.faults
    if isinstance(error, MemoryError):
        return (Fault("memory", "ran out", "give the command more memory, then run it again"),)
    refused = system_errors.behind(error)
    return None if refused is None else (system_errors.fault(refused),)
