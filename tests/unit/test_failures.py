from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from builders.broken_disks import filled, mounted
from tenter import tracking
from tenter.errors import TrackingError
from tenter.tracking import FoldResult, ModelResult, Place
from tenter.tracking.failures import failed

URI = "sqlite:////data/mlflow.db"
DATABASE = Place(URI, "e", None, "s", 1.0)
RESULT = ModelResult(
    model="m",
    folds=[
        FoldResult(
            description={
                "fold": "0",
                "identity": {"settings": "s", "cohort": "c", "code": "k"},
                "trained_on": [],
            },
            history=[{"step": float(step), "loss": 0.5} for step in range(3000)],
        )
    ],
)


@pytest.mark.parametrize(
    ("said", "cause", "fix"),
    [
        (
            "(sqlite3.OperationalError) database or disk is full [SQL: UPDATE x]",
            "disk",
            "free some space",
        ),
        ("attempt to write a readonly database", "read-only", "writable"),
        ("unable to open database file", "cannot be opened", "writable"),
        ("disk I/O error", "input/output", "checked"),
        ("database is locked", "another process", "wait"),
        ("file is not a database", "damaged", "published anew"),
        ("database disk image is malformed", "damaged", "published anew"),
    ],
)
def test_what_sqlite_says_is_told_with_its_cause_and_fix(said: str, cause: str, fix: str) -> None:
    fault = failed(DATABASE, "m cannot be published", RuntimeError(said))
    assert fault.file == URI
    assert fault.message.startswith("m cannot be published: ")
    assert cause in fault.message
    assert fix in fault.fix
    assert "server" not in fault.text


def test_an_error_of_the_system_is_told_by_it() -> None:
    error = OSError(errno.EACCES, "Permission denied", "/data/mlflow.db.lock")
    assert (
        "/data/mlflow.db.lock: cannot be used: permission denied"
        in failed(DATABASE, "x", error).message
    )


def test_a_server_is_looked_after() -> None:
    server = Place("http://h:5000", "e", None, "s", 1.0)
    assert "check that the server runs" in failed(server, "x", ConnectionError("refused")).fix


def test_a_full_disk_is_not_taken_for_a_server_that_is_away(place: Place, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "size=8m"):
        shutil.copy(place.uri.removeprefix("sqlite:///"), disk / "mlflow.db")
        there = Place(f"sqlite:///{disk}/mlflow.db", place.experiment, None, "demo")
        with filled(0)(disk), pytest.raises(TrackingError, match="disk of the database is full"):
            tracking.publish(there, RESULT)
        assert "m, 1 fold" in tracking.publish(there, RESULT)
