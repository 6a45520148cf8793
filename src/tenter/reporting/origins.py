"""Where the figures come from: versions, code, settings, files and accepted code changes."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def models(paths: ResultFiles, names: Sequence[str]) -> Table | None:
    """How each network was trained; None if none was trained here."""
    rows = []
    for name in names:
        for fold, path in paths.descriptions(name).items():
            description = files.read_object(path, {"provenance": dict, "identity": dict})
            origin, identity = description["provenance"], description["identity"]
            rows.append(
                (
                    name,
                    fold,
                    _count(description.get("trained_on")),
                    _text(description.get("steps")),
                    _duration(description.get("seconds")),
                    _short(origin.get("tenter")),
                    _short(origin.get("commit")),
                    _short(identity.get("code") or origin.get("code")),
                    _short(identity.get("settings")),
                    _short(description.get("weights_sha256")),
                )
            )
    columns = [
        Column("Model", _TEXT),
        Column("Fold", _TEXT),
        Column("training pairs"),
        Column("steps"),
    ]
    columns += [Column("time")]
    columns += [
        Column(title, _TEXT) for title in ("tenter", "commit", "code", "settings", "weights")
    ]
    note = (
        "Code, settings and weights are given by the first digits of their fingerprints; each "
        "model.json holds them in full."
    )
    return Table("Trained networks", tuple(columns), tuple(rows), note) if rows else None


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
