"""How jobs are launched: the processes of a training, flags of where it runs, GPUs, a scheduler."""

from __future__ import annotations

import getpass
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tenter.config import Runtime

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGUSR1"
"""Signals that torchrun forwards to its processes: all that ask a training to stop."""


def processes(runtime: Runtime) -> int:
    """Number of processes that share each batch."""
    return runtime.devices * runtime.nodes


def command(runtime: Runtime) -> str:
    """The command prefix of `tenter train`: empty for one process, torchrun for several.

    On several nodes srun starts one torchrun for each, with the rendezvous on the first node. The
    port is derived from the job's number, so that two jobs can share a node.
    """
    if processes(runtime) == 1:
        return ""
    start = f"env OMP_NUM_THREADS={runtime.threads} PET_SIGNALS_TO_HANDLE={SIGNALS} "
    if runtime.nodes == 1:
        return f"{start}torchrun --standalone --nproc-per-node={runtime.devices} --no-python"
    first = '"$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"'
    return (
        f"{start}srun --nodes={runtime.nodes} --ntasks={runtime.nodes} --ntasks-per-node=1 "
        f"--cpus-per-task={runtime.devices * runtime.threads} "
        f"torchrun --nnodes={runtime.nodes} --nproc-per-node={runtime.devices} --no-python "
        f'--rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" '
        f"--rdzv-endpoint={first}:$((20000 + SLURM_JOB_ID % 20000))"
    )


def resources(runtime: Runtime) -> dict[str, int | str]:
    """Resources of a training: GPUs; on several nodes also one task for each, started by srun."""
    gpus: dict[str, int | str] = {"gpu": gpus_per_job(runtime) * runtime.devices}
    if runtime.nodes == 1:
        return gpus
    return {**gpus, "nodes": runtime.nodes, "tasks": runtime.nodes, "mpi": "srun"}


def gpus_per_job(runtime: Runtime) -> int:
    """GPUs of a training or registration on this machine; on a cluster the profile decides."""
    uses_gpu = runtime.device != "cpu" and any(Path("/dev").glob("nvidia[0-9]*"))
    return int(uses_gpu)


def runtime_flags(runtime: Runtime, *names: str) -> str:
    """Flags for computing resources, which do not make a step stale.

    Args:
        runtime: the section of the configuration.
        names: keys of it.
    """
    values = runtime.model_dump(include=set(names))
    return shlex.join(flags({name.replace("_", "-"): values[name] for name in names}))


def job_flags(
    runtime: Runtime, store: str, tracking: Path, minutes: int | None = None, *, scheduled: bool
) -> str:
    """Flags of a training that depend on where it runs: its tracking, and the end of its job.

    Jobs on a cluster do not write to a SQLite database, since network file systems do not lock
    it reliably: `publish` mirrors such a training when it is finished.

    Args:
        runtime: the section of the configuration.
        store: address of the tracking server or database.
        tracking: record of the tracking server.
        minutes: time limit of the job.
        scheduled: whether the job runs on a cluster.
    """
    mirrored = not scheduled or not store.startswith("sqlite:")
    values: dict[str, object] = {"tracking": tracking} if mirrored else {}
    if scheduled and minutes is not None:
        values["deadline"] = max(0.0, 60 * minutes - runtime.margin_s)
    return shlex.join(flags(values))


def flags(values: Mapping[str, object]) -> list[str]:
    """Flags of a command: `--name value` for each entry."""
    return [argument for name, value in values.items() for argument in (f"--{name}", str(value))]


def submission_limit() -> int | None:
    """Maximum number of jobs, queued or running, that Slurm accepts from this user; None: no limit.

    It is the smallest limit of the user's associations (`MaxSubmitJobs`) and their qualities of
    service (`MaxSubmitJobsPerUser`), as far as Slurm reports them.
    """
    if shutil.which("sacctmgr") is None:
        return None
    associations = _sacctmgr("assoc", f"user={getpass.getuser()}", "format=maxsubmit,qos")
    qualities = {
        name for line in associations for name in line.partition("|")[2].split(",") if name
    }
    limits = [line.partition("|")[0] for line in associations]
    if qualities:
        limits += _sacctmgr("qos", f"names={','.join(sorted(qualities))}", "format=maxsubmitpu")
    numbers = [int(text) for text in limits if text.isdigit()]
    return min(numbers, default=None)


def _sacctmgr(*arguments: str) -> list[str]:
    """Lines of `sacctmgr show`; empty if there is no accounting, or it does not respond."""
    command = ["sacctmgr", "--noheader", "--parsable2", "show", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and the user's name
            command, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()
