"""What jobs inherit from the process that starts them: commands, folders for caches, the planned code."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from tenter import __version__, addresses, provenance

CACHES = {
    "XDG_CACHE_HOME": ".",
    "MPLCONFIGDIR": "matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
    "NUMBA_CACHE_DIR": "numba",
}
"""Environment variables by which packages are told where to keep what they can make again."""


def equip(
    environment: MutableMapping[str, str],
    *,
    accepted: Path,
    caches: Path,
    tracking: str = "",
    starts: bool = True,
) -> list[str]:
    """Let jobs find this installation's commands, accepted code changes, and folders for caches.

    Args:
        environment: of this process, which its jobs inherit.
        accepted: the study's file of accepted code changes.
        caches: where caches go if the home folder cannot be written to.
        tracking: address of the tracking server; a login in it is kept in the environment alone.
        starts: whether this process plans the jobs, rather than being one.

    Returns:
        What a user should know, in lines; nothing in a job.

    Raises:
        DataError: the file of accepted code changes is damaged.
    """
    provenance.accepted_changes(accepted)
    commands = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([commands, environment.get("PATH", os.defpath)])
    environment[provenance.ACCEPTED] = str(accepted.absolute())
    addresses.conceal(tracking, environment)
    if starts:
        environment.pop(provenance.PLANNED, None)
    missing = {name: folder for name, folder in CACHES.items() if not environment.get(name)}
    home = Path(environment.get("HOME") or "/")
    places = (home, Path(environment.get("XDG_CACHE_HOME") or home / ".cache"))
    refusing = next((place for place in places if not _takes_files(place)), None)
    if not missing or refusing is None:
        return []
    for name, folder in missing.items():
        environment[name] = os.path.normpath(caches.absolute() / folder)
    return [f"{refusing} cannot be written to: caches of packages go to {caches}"] if starts else []


def announce(environment: MutableMapping[str, str], codes: Mapping[str, str]) -> None:
    """Tell jobs by which code they are planned: on another machine they may find another installation.

    Args:
        environment: of this process, which its jobs inherit.
        codes: fingerprint of each stage's code, by `<stage>` or `<stage>/<model>`.
    """
    said = {"tenter": __version__, "host": socket.gethostname(), "codes": dict(codes)}
    environment[provenance.PLANNED] = json.dumps(said)


def _takes_files(folder: Path) -> bool:
    """Whether a folder, or the one that it would be made in, can be written to."""
    try:
        there = next(part for part in (folder, *folder.parents) if part.exists())
        with tempfile.TemporaryFile(dir=there) as stream:
            stream.write(bytes(4096))
            stream.flush()
    except OSError:
        return False
    return True
