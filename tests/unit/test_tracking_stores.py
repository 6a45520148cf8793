"""Stores that cannot be used are reported with what helps; others are used:
SQLite, PostgreSQL, a server.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builders import tracking_servers
from tenter import addresses, tracking
from tenter.errors import TrackingError
from tenter.tracking import FoldResult, Mirror, ModelResult, Place
from tenter.tracking.inventory import rebuilds
from tenter.tracking.store import client

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test leaves in the environment is put back."""
    for name in (addresses.VARIABLE, "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with tracking_servers.postgresql() as address:
        yield address


@pytest.fixture(scope="session")
def server(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow with a login, over PostgreSQL."""
    store = tracking_servers.create_database(postgresql, "served")
    with tracking_servers.mlflow_with_login(store, tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def logged_in(server: str) -> str:
    return server.replace("//", f"//{tracking_servers.USER}:{tracking_servers.PASSWORD}@")


def result(value: float = 0.8, fold: str = "0") -> ModelResult:
    identity = {"settings": "s", "cohort": "c", "code": "k", "fold": fold}
    description = {"fold": fold, "identity": identity, "trained_on": ["p"]}
    done = FoldResult(description=description, history=[{"step": 1.0, "loss": 0.5}])
    return ModelResult(
        model="m", folds=[done], figures={"test/tre": value}, artifacts={"study/a.txt": "content"}
    )


def parent(place: Place) -> Run:
    (found,) = client(place).search_runs([str(place.experiment_id)], "tags.role = 'cv'")
    return found


# What is wrong with a SQLite database, what is said of it, and the command that helps.


def trash(place: Place) -> None:
    client(place).delete_experiment("1")


def write_schema(place: Place, version: str) -> None:
    with contextlib.closing(sqlite3.connect(str(place.database))) as opened:
        opened.execute("UPDATE alembic_version SET version_num = ?", (version,))
        opened.commit()


def damage(place: Place) -> None:
    assert place.database is not None
    place.database.write_bytes(b"no database" * 1000)


def replace_by_folder(place: Place) -> None:
    assert place.database is not None
    place.database.unlink()
    place.database.mkdir()


UNUSABLE: dict[str, tuple[Callable[[Place], None], str]] = {
    "trash": (
        trash,
        r"is in the trash; restore it with `MLFLOW_TRACKING_URI=.* mlflow experiments restore ",
    ),
    "older": (
        lambda place: write_schema(place, "3500859a5d39"),
        r"an older MLflow.*`mlflow db upgrade sqlite",
    ),
    "newer": (
        lambda place: write_schema(place, "ffffffffffff"),
        r"a newer MLflow.*--upgrade mlflow`",
    ),
    "damaged": (damage, r"cannot be read.*set it aside with `mv "),
    "folder": (replace_by_folder, r"is not a file; name a database file"),
}


@pytest.mark.parametrize(("spoil", "said"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_database_is_reported_and_stops_no_training(
    place: Place, spoil: Callable[[Place], None], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(place)
    with caplog.at_level(logging.WARNING):
        started = tracking.start(place.uri, "demo", "demo", 2.0)
        with Mirror(started, "m", result().folds[0].description) as mirror:
            mirror.record({"step": 1.0, "loss": 0.5})
    assert started.experiment_id is None
    with pytest.raises(TrackingError, match=said):
        tracking.publish(place, result())
    warning = caplog.records[0].getMessage()
    assert "training goes on, and `publish` mirrors it afterwards" in warning


@pytest.mark.parametrize("name", ["trash"])
def test_the_command_that_is_named_helps(place: Place, name: str) -> None:
    spoil, _ = UNUSABLE[name]
    spoil(place)
    complaint = tracking.examine(place)
    assert complaint is not None
    command = complaint.fix.split("`")[1].replace(" mlflow ", f" {sys.executable} -m mlflow ")
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    assert tracking.examine(place) is None
    tracking.publish(place, result())


def test_an_experiment_is_taken_from_the_trash_of_no_other_name(place: Place) -> None:
    trash(place)
    assert tracking.examine(replace(place, experiment="other")) is None


# Web servers.

ANSWERS: list[tuple[int, str, bytes, str]] = [
    (200, "text/html", b"<html>hello</html>", "not an MLflow server (status 200, text/html)"),
    (404, "text/html", b"<html>nothing</html>", "not an MLflow server (status 404, text/html)"),
    (
        200,
        "application/json",
        b'{"name": "grafana"}',
        "not an MLflow server (status 200, application/json)",
    ),
    (404, "application/json", b"[]", "not an MLflow server (status 404, application/json)"),
    (
        401,
        "text/plain",
        b"who?",
        "wants a login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    ),
    (403, "text/plain", b"not you", "allows no access (not you)"),
    (503, "text/plain", b"later", "answers with error 503"),
]


@pytest.mark.parametrize(("status", "kind", "body", "said"), ANSWERS)
def test_a_server_that_does_not_help_is_reported_as_what_it_is(
    status: int, kind: str, body: bytes, said: str
) -> None:
    with tracking_servers.web_server(status, kind, body) as uri:
        complaint = tracking.examine(Place(uri, "e", None, "s", 2.0))
        assert complaint is not None
        assert said in str(complaint)
        with pytest.raises(TrackingError, match=r"m cannot be published: "):
            tracking.publish(Place(uri, "e", None, "s", 2.0), result())


UNREACHED = {
    "http://127.0.0.1:9": "nothing listens there; start the server",
    "http://no-such-host.invalid": "no such host",
    "postgresql://u:secret99@127.0.0.1:9/db": "start the database server",
    "postgresql://u:secret99@no-such-host.invalid/db": "start the database server",
    "mysql+nodriver://u:secret99@127.0.0.1:9/db": "not reached",
    "mysql+pymysql://u:secret99@127.0.0.1:9/db": "pip install pymysql",
}


@pytest.mark.parametrize(("uri", "said"), UNREACHED.items())
def test_a_store_that_is_not_there_is_reported_at_once(
    uri: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert tracking.start(uri, "e", "s", 2.0).experiment_id is None
    assert said in caplog.text
    assert "secret99" not in caplog.text


def test_an_encrypted_address_of_a_plain_server_is_told() -> None:
    with tracking_servers.web_server(200, "text/html", b"") as uri:
        fault = tracking.examine(Place(uri.replace("http", "https"), "e", None, "s", 2.0))
    assert fault is not None
    assert fault.message == "the server does not speak https"
    assert fault.fix == "write http:// in tracking.uri"


# PostgreSQL, with and without a server before it.


def test_postgresql_is_used_as_it_is(postgresql: str, tmp_path: Path) -> None:
    uri = tracking_servers.create_database(postgresql, 'it\'s "quoted"')
    place = tracking.start(uri, "e", "s", 9.0, folder=tmp_path / 'it\'s "here"')
    for value in (4.0, 5.0, math.inf):
        tracking.publish(place, result(value))
    found = parent(place)
    history = client(place).get_metric_history(found.info.run_id, "test/tre")
    assert [(point.step, point.value) for point in history] == [(0, sys.float_info.max)]
    assert (tmp_path / 'it\'s "here"/artifacts').is_dir()
    assert "tester:tester" not in place.uri


def test_what_is_lost_or_trashed_in_postgresql_is_noticed(postgresql: str, tmp_path: Path) -> None:
    uri = tracking_servers.create_database(postgresql, "lost")
    place = tracking.start(uri, "e", "s", 9.0, folder=tmp_path)
    tracking.publish(place, result(), 0)
    assert rebuilds(place, ["m"]) == {"m": 0}
    client(place).delete_experiment(str(place.experiment_id))
    assert rebuilds(place, ["m"]) == {"m": 1}
    assert "mlflow experiments restore" in str(tracking.examine(place))


def test_a_missing_database_and_a_wrong_password_are_told_apart(postgresql: str) -> None:
    missing = tracking.start(f"{postgresql}/nowhere", "e", "s", 2.0)
    assert "`createdb nowhere`" in str(tracking.examine(missing))
    wrong = tracking.start(postgresql.replace(":tester@", ":wrong99@") + "/postgres", "e", "s", 2.0)
    assert "PGPASSWORD" in str(tracking.examine(wrong))


def test_a_server_that_wants_a_login_says_so(server: str) -> None:
    found = str(tracking.examine(Place(server, "e", None, "s")))
    assert (
        "the server wants a login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        in found
    )


def test_a_wrong_login_is_told(server: str) -> None:
    place = tracking.start(server.replace("//", "//admin:wrong99@"), "e", "s", 2.0)
    assert "refuses the login" in str(tracking.examine(place))


@pytest.mark.parametrize("given", ["address", "environment"])
def test_a_login_opens_a_server(server: str, logged_in: str, given: str, monkeypatch: Any) -> None:
    if given == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", tracking_servers.USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", tracking_servers.PASSWORD)
    place = tracking.start(logged_in if given == "address" else server, given, "s", 9.0)
    assert place.experiment_id is not None
    assert tracking.examine(place) is None


def test_a_server_keeps_one_infinite_point_and_its_loss_is_noticed(
    logged_in: str, tmp_path: Path
) -> None:
    place = tracking.start(logged_in, "lost", "s", 9.0, folder=tmp_path)
    for value in (4.0, math.inf):
        tracking.publish(place, result(value), 0)
    found = parent(place).info.run_id
    history = client(place).get_metric_history(found, "test/tre")
    assert [(point.step, point.value) for point in history] == [(0, sys.float_info.max)]
    assert rebuilds(place, ["m"]) == {"m": 0}
    client(place).delete_run(found)
    assert rebuilds(place, ["m"]) == {"m": 1}


# Folders: names that SQL and addresses quote, and studies that are moved.

NAMES = [
    "it's",
    'a"b',
    'it\'s "both"',
    "a b",
    "50%20",
    "a#b",
    "ümlaut",
    "a&b=c;d",
    "{x}",
    "back\\slash",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_working_folder_may_have_any_name(
    database: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    (folder / "tracking").mkdir(parents=True)
    monkeypatch.chdir(folder)
    begun(database, folder / "tracking/mlflow.db")
    # The whole path: MLflow keeps one connection for an address, whatever the folder.
    uri = f"sqlite:///{folder}/tracking/mlflow.db"
    place = tracking.start(uri, "e", "s", 9.0, folder=folder / "tracking")
    text = tracking.publish(place, result())
    assert shlex.quote(uri) in text
    assert [path.read_text() for path in (folder / "tracking/artifacts").rglob("a.txt")] == [
        "content"
    ]
    assert not list(folder.glob("mlruns*"))


def begun(database: Path, copy: Path) -> None:
    """Copy a database that has all tables and nothing in them: making the tables takes seconds."""
    shutil.copy(database / "mlflow.db", copy)
    with contextlib.closing(sqlite3.connect(str(copy))) as opened:
        for table in ("experiment_tags", "experiments"):
            opened.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names
        opened.commit()


MOVES = ["beside", "it's/deep er", "50%", "a#b", "again and again"]


@pytest.mark.parametrize("name", MOVES)
def test_a_moved_study_keeps_its_artifacts_and_writes_nothing_where_it_was(
    database: Path, tmp_path: Path, name: str
) -> None:
    old, new = tmp_path / "old/tracking", tmp_path / name / "tracking"
    old.mkdir(parents=True)
    begun(database, old / "mlflow.db")
    place = tracking.start(f"sqlite:///{old}/mlflow.db", "e", "s", 9.0, folder=old)
    tracking.publish(place, result(), 0)
    new.parent.mkdir(parents=True)
    old.rename(new)
    moved = Place(f"sqlite:///{new}/mlflow.db", "e", None, "s", 9.0, folder=new)
    tracking.publish(moved, result(), 1)
    run = parent(replace(moved, experiment_id="1"))
    read = client(moved).download_artifacts(run.info.run_id, "study/a.txt")
    assert Path(read).read_text() == "content"
    tracking.publish(moved, result(0.9), 1)
    assert not old.exists()


def test_a_copied_study_leaves_the_original_alone(database: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    begun(database, old / "mlflow.db")
    place = tracking.start(f"sqlite:///{old}/mlflow.db", "e", "s", 9.0, folder=old)
    tracking.publish(place, result(), 0)
    shutil.copytree(old, new)
    before = sorted(str(path) for path in old.rglob("*"))
    copied = Place(f"sqlite:///{new}/mlflow.db", "e", None, "s", 9.0, folder=new)
    tracking.publish(copied, result(0.9), 1)
    assert sorted(str(path) for path in old.rglob("*")) == before
    assert all(
        run.info.artifact_uri.startswith(new.as_uri())
        for run in client(copied).search_runs(["1"], "")
    )


def empty(place: Place) -> None:
    assert place.database is not None
    place.database.unlink()
    place.database.touch()


def unlink(place: Place) -> None:
    assert place.database is not None
    place.database.unlink()


def delete_runs(place: Place, filters: str) -> None:
    for run in client(place).search_runs(["1"], filters):
        client(place).delete_run(run.info.run_id)


LOST: dict[str, Callable[[Place], object]] = {
    "database": unlink,
    "experiment": trash,
    "parent": lambda place: delete_runs(place, "tags.role = 'cv'"),
    "every run": lambda place: delete_runs(place, ""),
    "tables": empty,
}


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST.keys())
def test_runs_that_are_gone_are_noticed(
    place: Place, tmp_path: Path, lose: Callable[[Place], object]
) -> None:
    place = replace(place, folder=tmp_path / "records")
    tracking.publish(place, result(), 0)
    assert rebuilds(place, ["m"]) == {"m": 0}
    lose(place)
    assert rebuilds(place, ["m"]) == {"m": 1}
