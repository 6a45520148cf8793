"""The command that starts the processes of a training, and its requests to a scheduler."""

from __future__ import annotations

import getpass
import shutil
import subprocess

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
    """Slurm resources of a training on several nodes: one task for each, started by srun above."""
    if runtime.nodes == 1:
        return {}
    return {"nodes": runtime.nodes, "tasks": runtime.nodes, "mpi": "srun"}


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
