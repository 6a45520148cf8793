"""What starts the processes of one training, and what these ask of a scheduler."""

from __future__ import annotations

import getpass
import shutil
import subprocess

from tenter.config import Runtime

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGUSR1"
"""What torchrun passes on to its processes: all that asks a training to stop."""


def processes(runtime: Runtime) -> int:
    """How many share each batch."""
    return runtime.devices * runtime.nodes


def command(runtime: Runtime) -> str:
    """The words before `tenter train`: none for one process, torchrun for several on each node.

    On several nodes srun starts one torchrun a node, which meet at the first; its port follows from the
    job's number, so that two jobs may share a node.
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
    """What a training on several nodes asks of the Slurm plugin: a task a node, which srun above starts."""
    if runtime.nodes == 1:
        return {}
    return {"nodes": runtime.nodes, "tasks": runtime.nodes, "mpi": "srun"}


def submission_limit() -> int | None:
    """Jobs that Slurm takes of this user at a time, running ones included; None where it sets no limit.

    It is the least of the user's associations (`MaxSubmitJobs`) and of their qualities of service
    (`MaxSubmitJobsPerUser`), as far as Slurm tells them.
    """
    if shutil.which("sacctmgr") is None:
        return None
    associations = _told("assoc", f"user={getpass.getuser()}", "format=maxsubmit,qos")
    qualities = {name for line in associations for name in line.partition("|")[2].split(",") if name}
    limits = [line.partition("|")[0] for line in associations]
    if qualities:
        limits += _told("qos", f"names={','.join(sorted(qualities))}", "format=maxsubmitpu")
    numbers = [int(text) for text in limits if text.isdigit()]
    return min(numbers, default=None)


def _told(*words: str) -> list[str]:
    """Lines of `sacctmgr show`; none where there is no accounting, or it does not answer."""
    command = ["sacctmgr", "--noheader", "--parsable2", "show", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - fixed words and the user's name
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()
