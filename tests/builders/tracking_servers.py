"""Real servers for tests: PostgreSQL, MLflow that wants a login,
and web servers that are not MLflow.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

USER, PASSWORD = "admin", "tester-of-logins"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server; its address without a database,
    `postgresql://tester:tester@127.0.0.1:port`.
    """
    if not (shutil.which("postgres") and shutil.which("initdb")):
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg2", reason="SQLAlchemy's driver for PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="tenter-postgresql-"))
    # PostgreSQL refuses to run as root.
    owner = {"user": "nobody"} if os.geteuid() == 0 else {}
    if owner:
        shutil.chown(folder, "nobody")
    data, port = folder / "data", free_port()
    secret = folder / "password"
    secret.write_text("tester")
    secret.chmod(0o644)
    login = ["-U", "tester", "--auth", "scram-sha-256", "--pwfile", str(secret)]
    initdb = ["initdb", "-D", str(data), *login, "--no-sync", "--no-locale", "-E", "UTF8"]
    subprocess.run(initdb, check=True, capture_output=True, **owner)  # type: ignore[call-overload]
    words = [
        "-D",
        str(data),
        "-p",
        str(port),
        "-k",
        str(folder),
        "-c",
        "listen_addresses=127.0.0.1",
    ]
    started = subprocess.Popen(
        ["postgres", *words, "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **owner,
    )  # type: ignore[call-overload]
    try:
        _wait_for(lambda: socket.create_connection(("127.0.0.1", port), 1).close())
        yield f"postgresql://tester:tester@127.0.0.1:{port}"
    finally:
        started.send_signal(signal.SIGQUIT)
        started.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def create_database(server: str, name: str) -> str:
    """Make a database on a PostgreSQL server; its address."""
    import sqlalchemy  # noqa: PLC0415 - only where there is a server

    engine = sqlalchemy.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    deadline = time.monotonic() + 30
    while True:
        try:
            with engine.connect() as connection:
                quoted = engine.dialect.identifier_preparer.quote(name)
                connection.execute(sqlalchemy.text(f"CREATE DATABASE {quoted}"))
        except sqlalchemy.exc.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            engine.dispose()
            return f"{server}/{name}"


@contextlib.contextmanager
def mlflow_with_login(store: str, folder: Path) -> Iterator[str]:
    """An MLflow server that wants a login, over a database; its address."""
    pytest.importorskip("flask_wtf", reason="MLflow's login needs Flask-WTF")
    port = free_port()
    settings = folder / "auth.ini"
    settings.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = os.environ | {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "tests",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    words = ["--app-name", "basic-auth", "--workers", "1", "--port", str(port)]
    stores = ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
    log = (folder / "server.log").open("w")
    started = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *words, *stores],
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        _wait_for(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(30)
        log.close()


@contextlib.contextmanager
def web_server(status: int, kind: str, body: bytes) -> Iterator[str]:
    """A web server that gives one answer to everything; its address."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _wait_for(answer: object, limit_s: float = 120.0) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            answer()  # type: ignore[operator]
        except (OSError, urllib.error.URLError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
