"""The environment that jobs inherit: commands, folders for caches, the planned code."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from tenter import __version__, addresses, provenance, syntax

CACHES = {
    "XDG_CACHE_HOME": ".",
    "MPLCONFIGDIR": "matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
    "NUMBA_CACHE_DIR": "numba",
}
"""Environment variables for the cache folders of packages, each with its subfolder."""


def equip(
    environment: MutableMapping[str, str],
    *,
    accepted: Path,
    caches: Path,
    tracking: str = "",
    starts: bool = True,
) -> list[str]:
    """Provide jobs with this installation's commands, accepted code changes, and cache folders.

    Args:
        environment: environment of this process, which its jobs inherit.
        accepted: the study's file of accepted code changes.
        caches: folder for caches: of what is known of modules, and of packages if the home folder
            is not writable.
        tracking: address of the tracking server; its login is kept in the environment only.
        starts: whether this process plans the jobs, rather than being one.

    Returns:
        Messages for the user; none in a job.

    Raises:
        DataError: the file of accepted code changes is damaged.
    """
    provenance.accepted_changes(accepted)
    commands = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([commands, environment.get("PATH", os.defpath)])
    environment[provenance.ACCEPTED] = str(accepted.absolute())
    environment[syntax.MEMORY] = str(caches.absolute().with_name("syntax.json"))
    addresses.conceal(tracking, environment)
    if starts:
        environment.pop(provenance.PLANNED, None)
    missing = {name: folder for name, folder in CACHES.items() if not environment.get(name)}
    home = Path(environment.get("HOME") or "/")
    homes = (home, Path(environment.get("XDG_CACHE_HOME") or home / ".cache"))
    refusing = next((path for path in homes if not _takes_files(path)), None)
    if not missing or refusing is None:
        return []
    for name, folder in missing.items():
        environment[name] = os.path.normpath(caches.absolute() / folder)
    return [f"{refusing} cannot be written to: caches of packages go to {caches}"] if starts else []


def announce(environment: MutableMapping[str, str], codes: Mapping[str, str]) -> None:
    """Pass the planned code to jobs, since another machine may have another installation.

    Args:
        environment: environment of this process, which its jobs inherit.
        codes: fingerprint of each stage's code, by `<stage>` or `<stage>/<model>`.
    """
    announcement = {"tenter": __version__, "host": socket.gethostname(), "codes": dict(codes)}
    environment[provenance.PLANNED] = json.dumps(announcement)


def _takes_files(folder: Path) -> bool:
    """Whether a folder, or else its closest existing parent, is writable."""
    try:
        existing = next(part for part in (folder, *folder.parents) if part.exists())
        with tempfile.TemporaryFile(dir=existing) as stream:
            stream.write(bytes(4096))
            stream.flush()
    except OSError:
        return False
    return True
