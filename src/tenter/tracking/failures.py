"""Why a tracking server or database failed, and what to do."""

from __future__ import annotations

from tenter import addresses, system_errors
from tenter.errors import TrackingError
from tenter.records import Fault
from tenter.tracking.location import SQLITE, Place

_REASON = 200
"""Number of characters of a reason that are shown."""

_DATABASE = {
    "database or disk is full": (
        "the disk of the database is full",
        "free some space there, then run the same command again",
    ),
    "readonly database": (
        "the database or its folder is read-only",
        "make both writable for this user, then run the same command again",
    ),
    "unable to open database file": (
        "the database cannot be opened",
        (
            "check that its folder exists and is writable and that its disk has room, "
            "then run the same command again"
        ),
    ),
    "disk i/o error": (
        "the disk gives input/output errors, or a file would exceed the limit of `ulimit -f`",
        "have the disk and the limit checked, then run the same command again",
    ),
    "database is locked": (
        "another process is writing to the database",
        "wait until it is done, then run the same command again",
    ),
    "file is not a database": (
        "the file is damaged or not a database",
        "move it away and run the workflow again: every model is published anew from its files",
    ),
    "malformed": (
        "the database is damaged",
        "move it away and run the workflow again: every model is published anew from its files",
    ),
}
"""SQLite's message, its meaning, and what to do."""


def failed(place: Place, failure: str, error: Exception) -> Fault:
    """What could not be done, why, and what to do.

    Args:
        place: the server or database.
        failure: what could not be done, such as `the experiment cannot be created`.
        error: the cause.
    """
    uri = place.uri
    refused = system_errors.behind(error) if uri.startswith(SQLITE) else None
    if refused is not None:
        fault = system_errors.fault(refused)
        return Fault(uri, f"{failure}: {fault.file}: {fault.message}", fault.fix)
    message = str(error).lower()
    for fragment, (cause, fix) in _DATABASE.items():
        if uri.startswith(SQLITE) and fragment in message:
            return Fault(uri, f"{failure}: {cause} ({fragment})", fix)
    advice = "see `tracking.uri`" if uri.startswith(SQLITE) else "check that the server runs"
    message = f"{failure} ({reason(error, place)})"
    return Fault(uri, message, f"{advice}, then run the same command again")


def reason(error: Exception, place: Place) -> str:
    """An error in one short line, without the login of the place's address."""
    address = "" if isinstance(error, TrackingError) else place.address
    message = " ".join(str(error).split()) or type(error).__name__
    text = addresses.masked(message, address)
    return text if len(text) <= _REASON else text[:_REASON] + "..."
