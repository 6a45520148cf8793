"""The fingerprint of a stage's code: a hash of the syntax of all modules that it imports.

Snakemake does not detect edits of imported modules. Instead each job has this fingerprint as
a parameter: it changes with the syntax of the code behind the stage, but not with comments,
docstrings, formatting or unrelated modules.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tenter import __version__, files, plugin_source, plugins, syntax
from tenter.config.alternatives import is_reference
from tenter.config.rooms import rooms
from tenter.errors import CodeChangedError
from tenter.records import Fault

MAKE_AGAIN = "delete what is named here and run the same command again"
"""Fix for an output that is missing or not as it was written."""

PACKAGE = Path(__file__).parent
ROOT = "tenter"

LAYOUT = 2
"""Version of what a study's files hold and where they are; a change repeats whole studies."""
ACCEPTED = "TENTER_ACCEPTED"
"""Environment variable with the path of the study's file of accepted changes."""
PLANNED = "TENTER_PLANNED"
"""Environment variable with the host, version and code (JSON) that planned the jobs of a run."""

OBSERVERS = (
    "tenter.errors",  # messages
    "tenter.system_errors",  # likewise, of the operating system's errors
    "tenter.config",  # its effect is the settings
    "tenter.manifest",  # its effect is the rows
    "tenter.provenance",  # says what is stale
    "tenter.plugin_source",  # likewise
    "tenter.plugins",  # finds custom code, whose own syntax counts
    "tenter.plugin_imports",  # likewise
    "tenter.tracking",  # mirrors what the files hold
    "tenter.training.progress",  # shows how far a training is
)
"""Modules that observe or report and cannot change a result."""

BY_NAME = ("tenter.metrics.strict",)
"""Packages whose modules are imported by name at run time: all of them count."""

WORDING = {"tenter.metrics.definitions": {"title", "decimals", "most", "meaning", "naming"}}
"""Arguments that only the stages in `SHOWING` read: to reword them makes no other stage stale."""

SHOWING = ("report", "publish")

METHODS = "baselines"
"""Package of baselines; `method` below the key `baseline` of settings selects a module of it."""

PARTS = {"poses": "registration.poses", "refine": "registration.refine"}
"""Keys of settings that select a module if they are set."""


def fingerprint(stage: str, settings: str = "{}") -> str:
    """Hash the code behind a stage.

    Args:
        stage: such as `train`; its module is `tenter.stages.<stage>`.
        settings: the stage's settings as JSON, which select networks and losses.

    Returns:
        16 hexadecimal digits.
    """
    text = "".join(f"{name}:{digest};" for name, digest in _hashes(stage, settings).items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def modules(stage: str, settings: str = "{}") -> frozenset[str]:
    """The modules of tenter whose code affects a stage."""
    selected = json.loads(settings)
    names = _closure(f"{ROOT}.stages.{stage}")
    for module in selected_modules(selected):
        names |= _closure(module)
    for reference in custom_code(selected):
        for path in plugins.sources(reference).values():
            for name in _tenter(plugin_source.imports(path)):
                names |= _closure(name)
    return names


def _hashes(stage: str, settings: str) -> dict[str, str]:
    """Hash of each module that affects a stage, custom code included, by its name in order."""
    hashes = {name: _syntax_hash(name, stage) for name in modules(stage, settings)}
    for reference in custom_code(json.loads(settings)):
        hashes |= plugins.hashes(reference)
    return dict(sorted(hashes.items()))


def custom_code(settings: Any) -> list[plugins.Reference]:  # noqa: ANN401 - any JSON value
    """The custom code that settings refer to."""
    names = sorted({name for _, name in _selected(settings) if is_reference(name)})
    return [plugins.parse(name) for name in names]


def verify(stage: str, settings: str, code: str) -> None:
    """Check that the code is the same as when the job was planned.

    Raises:
        CodeChangedError: the package was edited since.
    """
    actual = fingerprint(stage, settings)
    record = os.environ.get(ACCEPTED)
    if code not in {actual, accepted(actual, Path(record)) if record else actual}:
        message = (
            f"its code changed since this job was planned ({code} then, {actual} now)"
            f"{_other_installation()}"
        )
        fix = "run snakemake again so that stale steps are found anew"
        raise CodeChangedError(Fault(stage, message, fix))


def planned() -> dict[str, Any]:
    """The planner of this job (`tenter`, `host`) and the stages' `codes`; empty outside a run."""
    try:
        announcement = json.loads(os.environ.get(PLANNED, "{}"))
    except ValueError:
        return {}
    return (
        announcement
        if isinstance(announcement, dict) and isinstance(announcement.get("codes"), dict)
        else {}
    )


def planned_code(name: str) -> str | None:
    """The fingerprint with which `<stage>` or `<stage>/<model>` was planned; None outside a job."""
    code = planned().get("codes", {}).get(name)
    return None if code is None else str(code)


def _other_installation() -> str:
    announcement, host = planned(), platform.node()
    if not announcement or (announcement["tenter"], announcement["host"]) == (__version__, host):
        return ""
    return (
        f": planned by tenter {announcement['tenter']} on {announcement['host']}, "
        f"but {host} has tenter {__version__} "
        f"({PACKAGE}); let both use one installation"
    )


def module_hashes(stage: str, settings: str = "{}") -> dict[str, str]:
    """Short hash of each module that affects a stage."""
    return {name: digest[:16] for name, digest in _hashes(stage, settings).items()}


def record(
    output: Path, stage: str, settings: str, code: str, *, read: Mapping[str, Any] | None = None
) -> None:
    """Record the origin of an output beside it, independent of Snakemake's metadata.

    Args:
        output: a file (its provenance is `<file>.provenance.json`) or a folder
            (`provenance.json` inside).
        stage: such as `train`.
        settings: the stage's settings as JSON.
        code: fingerprint with which the job was planned.
        read: its inputs by kind: `pairs` (id to row), `sources` and `inputs` (path to sha256).
    """
    hashes = module_hashes(stage, settings)
    content = {
        "stage": stage,
        "code": code,
        "settings": json.loads(settings),
        "modules": hashes,
        "layout": LAYOUT,
        "tenter": __version__,
        "python": platform.python_version(),
        **(read or {}),
        "outputs": {path.name: files.sha256(path) for path in _outputs(output)},
    }
    files.write_json(_record_path(output), content)


def damage(output: Path, fix: str = MAKE_AGAIN) -> list[Fault]:
    """List files of an output that are missing or differ from its provenance record.

    Empty for records of earlier versions of tenter, which lack hashes of the files.

    Args:
        output: a file or a folder, as given to `record`.
        fix: what to do about each fault.
    """
    content = recorded(output) or {}
    faults = []
    for name, sha256 in content.get("outputs", {}).items():
        path = output / name if output.is_dir() else output.with_name(name)
        if not path.is_file():
            faults.append(Fault(str(path), "is missing", fix))
        elif files.sha256(path) != sha256:
            message = f"is not the file that `{content['stage']}` wrote (its sha256 differs)"
            faults.append(Fault(str(path), message, fix))
    return faults


def recorded(output: Path) -> dict[str, Any] | None:
    """The record of an output, or None if there is none.

    Raises:
        DataError: the record is damaged.
    """
    path = _record_path(output)
    return read_record(path) if path.is_file() else None


def read_record(path: Path) -> dict[str, Any]:
    """Read a provenance file.

    Raises:
        DataError: it is damaged.
    """
    remedy = "delete it: the output counts as made by unknown code then"
    return files.read_object(
        path, {"stage": str, "code": str, "settings": dict, "modules": dict}, remedy
    )


def _outputs(output: Path) -> list[Path]:
    """Files of an output, except its provenance and hidden files."""
    if not output.is_dir():
        return [output]
    record_path = _record_path(output)
    return sorted(
        path
        for path in output.iterdir()
        if path.is_file() and path != record_path and path.name[0] != "."
    )


def _record_path(output: Path) -> Path:
    return (
        output / "provenance.json"
        if output.is_dir()
        else output.with_name(f"{output.name}.provenance.json")
    )


def accepted(actual: str, path: Path) -> str:
    """The fingerprint in existing results for which `actual` was accepted; otherwise `actual`.

    Args:
        actual: fingerprint of the current code.
        path: file of accepted changes; may be absent.

    Raises:
        DataError: the file is damaged.
    """
    for change in accepted_changes(path):
        if change["now"] == actual:
            return str(change["then"])
    return actual


def accepted_changes(path: Path) -> list[dict[str, Any]]:
    """The code changes that a person accepted, oldest first; empty if there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    return _accepted(path, path.stat().st_mtime_ns) if path.is_file() else []


@functools.cache
def _accepted(path: Path, _modified: int) -> list[dict[str, Any]]:
    remedy = "restore it, or delete it: results made by the code it accepts are then made again"
    changes: Any = files.read_json(path, remedy)
    if not isinstance(changes, list):
        raise files.damaged(path, "does not hold a list of accepted changes", remedy)
    for change in changes:
        files.require_keys(path, change, {"now": str, "then": str}, remedy)
    return changes


def selected_modules(settings: Any) -> frozenset[str]:  # noqa: ANN401 - any JSON value
    """The modules of networks, losses, test-time options and baselines that settings select."""
    return frozenset(
        f"{ROOT}.{room}.{name}" if name else f"{ROOT}.{room}"
        for room, name in _selected(settings)
        if not is_reference(name)
    )


def _selected(settings: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    """Each package and the name in it that settings select; '' for a part that is a module."""
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        if key in PARTS and isinstance(value, dict):
            yield PARTS[key], ""
        if key == "baseline" and isinstance(value, dict) and "method" in value:
            yield METHODS, value["method"]
        for entry in value if isinstance(value, list) else [value]:
            if key in rooms() and isinstance(entry, dict) and "name" in entry:
                yield rooms()[key], entry["name"]
            yield from _selected(entry)


@functools.cache
def _closure(start: str) -> frozenset[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in reached or any(
            name == observer or name.startswith(f"{observer}.") for observer in OBSERVERS
        ):
            continue
        reached.add(name)
        waiting.extend(_imports(name))
        parent = name.rpartition(".")[0]
        if parent and parent != ROOT:
            waiting.append(parent)
    return frozenset(reached)


def _file(name: str) -> Path | None:
    path = _package(name)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _package(name: str) -> Path:
    """Folder of a package."""
    return PACKAGE.parent.joinpath(*name.split("."))


def _path(name: str) -> Path:
    path = _file(name)
    if path is None:
        message = f"no module {name} in {PACKAGE}"
        raise ModuleNotFoundError(message)
    return path


@functools.cache
def _parsed(name: str, unread: tuple[str, ...] = ()) -> syntax.Module:
    return syntax.parsed(_path(name), ROOT, unread)


def _imports(name: str) -> Iterator[str]:
    yield from _tenter(f"{module}.{alias}".rstrip(".") for module, alias in _parsed(name).imports)
    if name in BY_NAME:
        yield from (f"{name}.{path.stem}" for path in _package(name).glob("[!_]*.py"))


def _tenter(imports: Iterable[str]) -> Iterator[str]:
    """The modules of tenter among what is imported: modules, or names in modules."""
    for full in imports:
        module = full if _file(full) else full.rpartition(".")[0]
        if module.split(".")[0] == ROOT and module != ROOT:
            yield module


def _syntax_hash(name: str, stage: str) -> str:
    """Hash of the syntax of a module that affects a stage."""
    return _module_hash(name, () if stage in SHOWING else tuple(sorted(WORDING.get(name, ()))))


@functools.cache
def _module_hash(name: str, unread: tuple[str, ...]) -> str:
    """Hash of a module's syntax; for a package, also of its data files, such as templates.

    Args:
        name: the module.
        unread: arguments of calls that do not count.
    """
    path = _path(name)
    data = [
        file
        for file in (sorted(path.parent.rglob("*")) if path.name == "__init__.py" else [])
        if file.is_file() and file.suffix not in {".py", ".pyc", ".typed"}
    ]
    sha256 = _parsed(name, unread).sha256
    if not data:
        return sha256
    content = hashlib.sha256(sha256.encode())
    for file in data:
        content.update(file.name.encode() + file.read_bytes())
    return content.hexdigest()
