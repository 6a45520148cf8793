"""An MLflow server that goes away while trainings on the cluster mirror to it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run, ViewType

from builders.clusters import (
    JOBS,
    PATIENCE_S,
    TRAINED,
    ClusterStudy,
    Prepared,
    command,
    configure,
    wait_until,
)
from tenter.history import read_history

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore"),  # of MLflow and what it imports
]


@dataclass
class Server:
    """An MLflow server on a database of its own."""

    folder: Path
    port: int

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--workers",
            "1",
            "--port",
            str(self.port),
        ]
        stores = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        artifacts = ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, *stores, *artifacts], stdout=log, stderr=log, start_new_session=True
            )
        wait_until("the server", self.answers, 120)

    def answers(self) -> bool:
        try:
            answer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            answer.request("GET", "/health")
            return answer.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def tell(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.tell(signal.SIGKILL)
            self.process.wait()

    def runs(self) -> list[Run]:
        """All runs there are, deleted ones too."""
        client = mlflow.MlflowClient(self.uri)
        return list(client.search_runs(["1"], run_view_type=ViewType.ALL))

    def steps(self, run: Run) -> list[int]:
        history = mlflow.MlflowClient(self.uri).get_metric_history(run.info.run_id, "train/loss")
        return sorted(point.step for point in history)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        started = Server(tmp_path, free.getsockname()[1])
    started.start()
    yield started
    started.end()


@pytest.fixture
def made(prepared: Prepared, server: Server, tmp_path: Path) -> Iterator[ClusterStudy]:
    again = prepared.again(tmp_path / "study")
    configure(again, steps=600, tracking={"uri": server.uri})
    yield again
    again.end_leftovers()


def lost_s(made: ClusterStudy, fold: str) -> float:
    """Seconds between a training's last checkpoint and its last file;
    Snakemake touches the others.
    """
    checkpoint = max((made.results / f"checkpoints/a/fold-{fold}").glob("step-*.json"))
    last = made.results / f"models/a/fold-{fold}/provenance.json"
    return last.stat().st_mtime - checkpoint.stat().st_mtime


def test_stopped_and_started_again_no_metric_is_lost_or_doubled(
    made: ClusterStudy, server: Server
) -> None:
    with made.running("--", *TRAINED) as process:
        made.wait_for_step(60)
        wait_until("live runs", lambda: len(server.runs()) == 2, 120)
        server.end()
        made.wait_for_step(120)
        command("scontrol", "requeue", made.running_job(JOBS[0]))
        assert process.wait(PATIENCE_S) == 0, made.said()
    server.start()
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    found = {run.data.tags["tenter.key"]: run for run in server.runs()}
    assert sorted(found) == ["a", "a/0", "a/1"]
    assert len(server.runs()) == 3
    for fold in ("0", "1"):
        rows = read_history(made.results / f"models/a/fold-{fold}/history.csv")
        assert server.steps(found[f"a/{fold}"]) == [
            int(row["step"]) for row in rows if "loss" in row
        ]
        assert "gave up mirroring" in made.log(fold)


def test_one_that_hangs_costs_a_training_less_than_ten_seconds(
    made: ClusterStudy, server: Server, prepared: Prepared
) -> None:
    with made.running("--", *TRAINED) as process:
        made.wait_for_step(60)
        server.tell(signal.SIGSTOP)
        try:
            assert process.wait(PATIENCE_S) == 0, made.said()
        finally:
            server.tell(signal.SIGCONT)
    assert max(lost_s(made, fold) for fold in ("0", "1")) < 10
    assert made.weights() == prepared.weights
