"""Where the figures come from: versions, code, settings, files and accepted code changes."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenter import __version__, files, provenance
from tenter.reporting import words
from tenter.reporting.page import Block, Column, Section, Table
from tenter.result_files import ResultFiles, Source

DIGITS = 10
"""Digits of a fingerprint that a table shows."""

_TEXT = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What wrote the report.

    Attributes:
        code: fingerprint of the report's code.
        settings: digest of the report's settings.
        accepted: record of accepted code changes; None without one.
        folder: folder of the report; files are named by their path from there.
    """

    code: str
    settings: str
    accepted: Path | None
    folder: Path


def section(origin: Origin, paths: ResultFiles, names: Sequence[str]) -> Section:
    """Software, trained networks, accepted code changes, and the files behind the page.

    Args:
        origin: what wrote the report.
        paths: files of the study.
        names: models of the configuration.
    """
    tables = (
        software(origin.code, origin.settings),
        models(paths, names),
        accepted(origin.accepted),
        made(paths.sources(), origin.folder),
    )
    block = Block(tables=tuple(table for table in tables if table is not None))
    return Section("origin", "Where this comes from", (block,))


def software(code: str, settings: str) -> Table:
    """Versions and code behind this page.

    Args:
        code: fingerprint of the report's code.
        settings: digest of the report's settings.
    """
    rows = (
        ("tenter", __version__),
        ("git commit", commit() or "not run from a git clone"),
        ("Python", platform.python_version()),
        ("code of the report", code),
        ("settings of the report (sha256)", settings[:DIGITS]),
    )
    return Table(
        "Software that wrote this page", (Column("What", _TEXT), Column("Version", _TEXT)), rows
    )


def commit() -> str | None:
    """Commit of the clone that the package runs from; None without a clone.

    It ends with `-dirty` if there are uncommitted changes.
    """
    root = provenance.PACKAGE.parents[1]
    if not (root / ".git").exists():
        return None
    command = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        completed = subprocess.run(  # noqa: S603 - no outside input
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip() or None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """A trained network, and what its `model.json` holds."""

    model: str
    fold: str
    description: Mapping[str, Any]

    def origin(self, key: str) -> str:
        return _short(self.description["provenance"].get(key))

    def identity(self, key: str) -> str:
        return _short(self.description["identity"].get(key))

    @property
    def code(self) -> str:
        """Fingerprint of the code; earlier versions recorded it in the provenance alone."""
        recorded = self.description["identity"].get("code")
        return _short(recorded) if recorded else self.origin("code")


_NETWORK_COLUMNS: tuple[tuple[Column, Callable[[_Network], str]], ...] = (
    (Column("Model", _TEXT), lambda network: network.model),
    (Column("Fold", _TEXT), lambda network: network.fold),
    (Column("training pairs"), lambda network: _count(network.description.get("trained_on"))),
    (Column("steps"), lambda network: _text(network.description.get("steps"))),
    (Column("time"), lambda network: _duration(network.description.get("seconds"))),
    (Column("tenter", _TEXT), lambda network: network.origin("tenter")),
    (Column("commit", _TEXT), lambda network: network.origin("commit")),
    (Column("code", _TEXT), lambda network: network.code),
    (Column("settings", _TEXT), lambda network: network.identity("settings")),
    (Column("weights", _TEXT), lambda network: _short(network.description.get("weights_sha256"))),
)
"""Columns of the table of networks, each with what its cells show."""


def models(paths: ResultFiles, names: Sequence[str]) -> Table | None:
    """How each network was trained; None if none was trained here."""
    networks = [
        _Network(
            model=name,
            fold=fold,
            description=files.read_object(path, {"provenance": dict, "identity": dict}),
        )
        for name in names
        for fold, path in paths.descriptions(name).items()
    ]
    columns = tuple(column for column, _ in _NETWORK_COLUMNS)
    rows = tuple(tuple(cell(network) for _, cell in _NETWORK_COLUMNS) for network in networks)
    note = (
        "Code, settings and weights are given by the first digits of their fingerprints; each "
        "model.json holds them in full."
    )
    return Table("Trained networks", columns, rows, note) if rows else None


def made(sources: Iterable[Source], folder: Path) -> Table:
    """The files that the report was written from.

    Args:
        sources: the files; those that do not exist are left out.
        folder: the study's results, which names are relative to.
    """
    rows = tuple(
        (
            _display_name(source.path, folder),
            source.made_by,
            f"{source.path.stat().st_size:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
            _short(files.sha256(source.path)),
        )
        for source in sources
        if source.path.is_file()
    )
    columns = (
        Column("File", _TEXT),
        Column("made by", _TEXT),
        Column("bytes"),
        Column("sha256", _TEXT),
    )
    note = (
        "Paths are relative to the study's results. With -p, Snakemake prints each job's command "
        "with all arguments; a provenance.json lies beside each job's results."
    )
    return Table("Files behind this page", columns, rows, note)


def _display_name(path: Path, folder: Path) -> str:
    """A path relative to the results, or its name alone: never a path of this machine."""
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def accepted(path: Path | None) -> Table | None:
    """Code changes that a person accepted as harmless; None if there are none."""
    changes = [] if path is None else provenance.accepted_changes(path)
    rows = tuple(
        (
            _text(change.get("stage")),
            _text(change.get("when")),
            _text(change.get("results")),
            _short(change.get("then")),
            _short(change.get("now")),
            _text(change.get("reason")),
        )
        for change in changes
    )
    columns = [Column("Step", _TEXT), Column("when", _TEXT), Column("results kept")]
    columns += [Column(title, _TEXT) for title in ("made by code", "accepted as", "reason")]
    note = (
        "Results of earlier code that are kept because a person declared that the change cannot "
        "alter them."
    )
    return Table("Accepted code changes", tuple(columns), rows, note) if rows else None


def _text(value: object) -> str:
    return words.NONE if value is None else str(value)


def _short(value: object) -> str:
    return _text(value)[:DIGITS]


def _count(value: object) -> str:
    return str(len(value)) if isinstance(value, list) else words.NONE


def _duration(value: object) -> str:
    if not isinstance(value, int | float):
        return words.NONE
    minutes = value / 60
    return (
        f"{minutes / 60:.1f}\N{NO-BREAK SPACE}h"
        if minutes >= 90
        else f"{minutes:.1f}\N{NO-BREAK SPACE}min"
    )
