"""The one-machine Slurm cluster as tests use it: studies on it, its jobs, and what befalls them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import ViewType

from builders.clones import NETWORK, ROOT, Clone, clone, simulate, write_config
from tenter import files
from tenter.history import read_history

SCRIPT = ROOT / "tests/cluster/one-machine-slurm.sh"
PATIENCE_S = 1800.0
"""Longest time that anything on the cluster may take: its machine may be busy with other tests."""

TRAINED = [f"results/trial/models/a/fold-{fold}/model.json" for fold in "01"]
TABLES = [
    f"results/trial/cases/tables/{fold}-0.{kind}.tsv"
    for fold in "01"
    for kind in ("images", "labels")
]
JOBS = [f"train_wildcards_a_{fold}" for fold in "01"]
FIELDS = (
    "jobid",
    "comment",
    "partition",
    "state",
    "alloctres",
    "timelimitraw",
    "elapsedraw",
    "workdir",
)


@dataclass(frozen=True)
class Job:
    """A job of Slurm's, as `sacct` describes it.

    Attributes:
        id: its number.
        rule: the rule with its wildcards, such as `train_wildcards_a_0`.
        partition: where it ran.
        state: such as COMPLETED.
        got: what it was given, such as `{"cpu": "1", "mem": "4G", "gres/gpu": "1"}`.
        minutes: its time limit.
        seconds: that it ran, the last time.
    """

    id: str
    rule: str
    partition: str
    state: str
    got: dict[str, str]
    minutes: int
    seconds: int

    @property
    def stage(self) -> str:
        return self.rule.partition("_wildcards")[0]


def command(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout


def wait_until(what: str, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"waited {patience_s:g} s for {what}"
        time.sleep(0.2)


@dataclass
class ClusterStudy(Clone):
    """A clone whose study runs on the cluster."""

    def snakemake(self, *words: str) -> list[str]:
        """The literal line of the documentation, but for how soon it looks."""
        line = [
            sys.executable,
            "-m",
            "snakemake",
            "--profile",
            "slurm",
            "--configfile",
            "config/trial.yaml",
        ]
        return [*line, "--slurm-init-seconds-before-status-checks", "2", *words]

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Snakemake, as it runs; it and all that it left are ended afterwards."""
        environment = self.environment
        with (self.root / "said.log").open("a+") as said:
            process = subprocess.Popen(
                self.snakemake(*words), cwd=self.root, env=environment, stdout=said, stderr=said,
                text=True, start_new_session=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                self.end_leftovers()

    def finish(self, *words: str) -> None:
        """Run it to the end, which must be a good one."""
        with self.running(*words) as process:
            code = process.wait(PATIENCE_S)
        assert code == 0, self.said()

    def said(self) -> str:
        return (self.root / "said.log").read_text()

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {
            "PYTHONPATH": str(self.root / "src"),
            "PATH": path,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        return os.environ | own | {"MLFLOW_DISABLE_TELEMETRY": "true"}

    def jobs(self) -> list[Job]:
        """All jobs that this study ever submitted, in their order."""
        return self.records()

    def records(self, *words: str) -> list[Job]:
        """What `sacct` tells; with `-D`, a record for each time that a job began."""
        told = command("sacct", "-S", "now-2days", "-X", "-n", "-P", "-o", ",".join(FIELDS), *words)
        rows = [line.split("|") for line in told.splitlines()]
        return [job(row) for row in rows if Path(row[-1]) == self.root.resolve()]

    def begun(self, rule: str) -> list[str]:
        """How a rule's jobs ended, each time that they began."""
        return [item.state for item in self.records("-D") if item.rule == rule]

    def running_job(self, rule: str) -> str:
        """Number of the job of a rule that runs now."""
        told = command("squeue", "-h", "-t", "RUNNING", "-o", "%i|%k|%Z")
        rows = [line.split("|") for line in told.splitlines()]
        own = [
            row[0]
            for row in rows
            if row[1] == f"rule_{rule}" and Path(row[2]) == self.root.resolve()
        ]
        return own[0] if own else ""

    def step(self, fold: str, model: str = "a") -> int:
        """Steps of a training's newest checkpoint; -1 before the first."""
        folder = self.results / f"checkpoints/{model}/fold-{fold}"
        return max((int(path.stem[5:]) for path in folder.glob("step-*.json")), default=-1)

    def number_of(self, rule: str) -> str:
        """Number of a rule's job, once it runs."""
        wait_until(f"{rule} to run", lambda: self.running_job(rule))
        return self.running_job(rule)

    def wait_for_step(self, step: int, folds: Sequence[str] = ("0", "1")) -> None:
        """Wait until trainings are so far, and not much further."""
        wait_until(f"step {step}", lambda: all(self.step(fold) >= step for fold in folds))

    def weights(self) -> dict[str, str]:
        """sha256 of every trained model's weights."""
        found = sorted(self.results.glob("models/*/fold-*/model.safetensors"))
        return {f"{path.parts[-3]} {path.parts[-2]}": files.sha256(path) for path in found}

    def published(self) -> list[str]:
        """The key of every run in the study's own MLflow database, deleted ones too."""
        client = mlflow.MlflowClient(f"sqlite:///{self.results}/tracking/mlflow.db")
        experiment = client.get_experiment_by_name(self.results.name)
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
        return sorted(item.data.tags["tenter.key"] for item in found)

    def log(self, fold: str, model: str = "a") -> str:
        """The log of a training, from its first step on."""
        return (self.results / f"checkpoints/{model}/fold-{fold}/train.log").read_text()

    def end_leftovers(self) -> None:
        """End this study's jobs, and processes that outlived them."""
        told = command("squeue", "-h", "-o", "%i|%Z").splitlines()
        own = [row.split("|")[0] for row in told if Path(row.split("|")[1]) == self.root.resolve()]
        if own:
            subprocess.run(["scancel", *own], check=False)
            wait_until(
                "cancelled jobs",
                lambda: not set(own) & set(command("squeue", "-h", "-o", "%i").split()),
            )
        for process in processes_in(self.root):
            os.kill(process, signal.SIGKILL)


@dataclass(frozen=True)
class Prepared:
    """A study with prepared cases, and the weights that its trainings end with
    when nobody disturbs them.
    """

    root: Path
    weights: dict[str, str]
    step_s: float
    """Seconds of a step, both trainings at a time."""

    def again(self, folder: Path) -> ClusterStudy:
        """A copy of it, of which nothing is trained."""
        shutil.copytree(self.root, folder, symlinks=True)
        return ClusterStudy(folder)


def prepare(folder: Path) -> Prepared:
    """Prepare a study, and train a copy of it on this machine."""
    whole = study(folder / "whole", steps=600)
    for wanted in (TABLES, TRAINED):
        done = whole.run("--", *wanted)
        assert done.returncode == 0, done.stdout + done.stderr
        if wanted is TABLES:
            shutil.copytree(whole.root, folder / "untrained", symlinks=True)
    rows = read_history(whole.results / "models/a/fold-0/history.csv")
    return Prepared(folder / "untrained", whole.weights(), rows[-1]["seconds"] / rows[-1]["step"])


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.resolve(strict=True) == folder.resolve():
                found.append(int(link.parent.name))
        except OSError:
            continue
    return found


def job(row: Sequence[str]) -> Job:
    number, comment, partition, state, got, minutes, seconds, _ = row
    dealt = dict(re.findall(r"([^,=]+)=([^,]+)", got))
    rule = comment.removeprefix("rule_")
    return Job(number, rule, partition, state.split(" ")[0], dealt, int(minutes), int(seconds))


def study(
    folder: Path, *, steps: int = 600, pairs: int = 6, patients: int = 4, **keys: Any
) -> ClusterStudy:
    """A clone of the repository with a small cohort, one model and two folds."""
    folder.mkdir(parents=True, exist_ok=True)
    made = ClusterStudy(clone(folder).root)
    shutil.copy(ROOT / "slurm", folder / "slurm", follow_symlinks=False)
    simulate(made, "cohort", "--pairs", str(pairs), "--patients", str(patients), "--seed", "1")
    configure(made, steps=steps, **keys)
    return made


def configure(made: Clone, *, steps: int, weight: float = 0.5, **keys: Any) -> None:
    """One model, two folds; checkpoints twice a second."""
    losses = {"labels": [{"name": "dice"}], "regularisers": [{"name": "bending", "weight": weight}]}
    training = {"steps": steps, "batch": 2, "learning_rate": 1e-3}
    own: dict[str, object] = {
        "folds": {"count": 2},
        "models": {"a": {"network": NETWORK, "training": training, "losses": losses}},
        "runtime": {"checkpoint_s": 0.5, "log_every": 20},
    }
    write_config(made, **(own | keys))
