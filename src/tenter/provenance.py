"""The fingerprint of a stage's code: a hash of the syntax of all it imports.

Snakemake does not see an edit of an imported module. Each job carries this fingerprint as
a parameter instead: it changes when the meaning of the code behind the stage changes, and
not when a comment, a docstring, the layout or an unrelated module does.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tenter import __version__, files
from tenter.errors import CodeChangedError

PACKAGE = Path(__file__).parent
ROOT = "tenter"
ACCEPTED = "TENTER_ACCEPTED"
"""Environment variable that the workflow sets to the study's file of accepted changes."""
PLANNED = "TENTER_PLANNED"
"""Environment variable that says, in JSON, who planned the jobs of a run, and by which code."""

OBSERVERS = (
    "tenter.errors",  # texts of complaints
    "tenter.system_errors",  # likewise, of the operating system's errors
    "tenter.config",  # its effect is the settings
    "tenter.manifest",  # its effect is the rows
    "tenter.provenance",  # says what is stale
    "tenter.tracking",  # mirrors what the files hold
    "tenter.training.progress",  # shows how far a training is
)
"""Modules that watch or word what happens and cannot change a result."""

PLUGINS = {
    "network": "networks",
    "first": "networks",
    "second": "networks",
    "labels": "losses",
    "images": "losses",
    "regularisers": "losses",
}
"""Keys of settings whose `name` says which module of a room is used."""

PARTS = {"poses": "registration.poses", "refine": "registration.refine"}
"""Keys of settings that stand for a module which is used where they hold anything."""


def fingerprint(stage: str, settings: str = "{}") -> str:
    """Hash the code behind a stage.

    Args:
        stage: such as `train`; its module is `tenter.stages.<stage>`.
        settings: the stage's settings as JSON; decide which networks and losses count.

    Returns:
        16 hexadecimal digits.
    """
    text = "".join(f"{name}:{_syntax_hash(name)};" for name in sorted(modules(stage, settings)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def modules(stage: str, settings: str = "{}") -> frozenset[str]:
    """The modules whose code counts for a stage."""
    found = _closure(f"{ROOT}.stages.{stage}")
    for plugin in plugins(json.loads(settings)):
        found |= _closure(plugin)
    return found


def verify(stage: str, settings: str, code: str) -> None:
    """Refuse to run other code than the job was planned with.

    Raises:
        CodeChangedError: the package was edited since.
    """
    actual = fingerprint(stage, settings)
    record = os.environ.get(ACCEPTED)
    if code not in {actual, accepted(actual, Path(record)) if record else actual}:
        message = (
            f"the code of `{stage}` changed since this job was planned ({code} then, {actual} now)"
            f"{_elsewhere()}; run snakemake again so that stale steps are found anew"
        )
        raise CodeChangedError(message)


def planned() -> dict[str, Any]:
    """Who planned this job (`tenter`, `host`), and the `codes` of the stages; empty outside a run."""
    try:
        said = json.loads(os.environ.get(PLANNED, "{}"))
    except ValueError:
        return {}
    return said if isinstance(said, dict) and isinstance(said.get("codes"), dict) else {}


def planned_code(name: str) -> str | None:
    """The fingerprint by which `<stage>` or `<stage>/<model>` was planned; None outside a job."""
    code = planned().get("codes", {}).get(name)
    return None if code is None else str(code)


def _elsewhere() -> str:
    said, here = planned(), platform.node()
    if not said or (said["tenter"], said["host"]) == (__version__, here):
        return ""
    return (
        f": planned by tenter {said['tenter']} on {said['host']}, but {here} has tenter {__version__} "
        f"({PACKAGE}); let both use one installation"
    )


def module_hashes(stage: str, settings: str = "{}") -> dict[str, str]:
    """Hash of each module that counts for a stage, in short."""
    return {name: _syntax_hash(name)[:16] for name in sorted(modules(stage, settings))}


def record(
    output: Path, stage: str, settings: str, code: str, *, read: Mapping[str, Any] | None = None
) -> None:
    """Write beside an output how it was made; Snakemake's own memory can be deleted.

    Args:
        output: a file (its provenance is `<file>.provenance.json`) or a folder
            (`provenance.json` inside).
        stage: such as `train`.
        settings: the stage's settings as JSON.
        code: fingerprint that the job was planned with.
        read: what it was made from, by kind: `pairs` (id to row), `sources` and `inputs` (path to sha256).
    """
    hashes = module_hashes(stage, settings)
    content = {
        "stage": stage,
        "code": code,
        "settings": json.loads(settings),
        "modules": hashes,
        "tenter": __version__,
        "python": platform.python_version(),
        **(read or {}),
        "outputs": {path.name: files.sha256(path) for path in _outputs(output)},
    }
    files.write_json(_record_path(output), content)


def damage(output: Path) -> list[str]:
    """Say which files of an output are missing or not as they were when its provenance was recorded.

    What an earlier version of tenter recorded does not say how the files were: then nothing is said.

    Args:
        output: a file or a folder, as given to `record`.
    """
    content = recorded(output) or {}
    found = []
    for name, sha256 in content.get("outputs", {}).items():
        path = output / name if output.is_dir() else output.with_name(name)
        if not path.is_file():
            found.append(f"{path} is missing")
        elif files.sha256(path) != sha256:
            found.append(f"{path} is not the file that `{content['stage']}` wrote (its sha256 differs)")
    return found


def recorded(output: Path) -> dict[str, Any] | None:
    """What `record` wrote for an output, or None.

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
    return files.read_object(path, {"stage": str, "code": str, "settings": dict, "modules": dict}, remedy)


def _outputs(output: Path) -> list[Path]:
    """An output's files, its provenance and hidden ones excepted."""
    if not output.is_dir():
        return [output]
    own = _record_path(output)
    return sorted(path for path in output.iterdir() if path.is_file() and path != own and path.name[0] != ".")


def _record_path(output: Path) -> Path:
    return (
        output / "provenance.json" if output.is_dir() else output.with_name(f"{output.name}.provenance.json")
    )


def accepted(actual: str, path: Path) -> str:
    """The fingerprint that results carry whose code change to `actual` was accepted, else `actual`.

    Args:
        actual: fingerprint of the code as it is.
        path: file of accepted changes; may be absent.

    Raises:
        DataError: the file is damaged.
    """
    for change in accepted_changes(path):
        if change["now"] == actual:
            return str(change["then"])
    return actual


def accepted_changes(path: Path) -> list[dict[str, Any]]:
    """The changes of code that a person accepted, oldest first; none where there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    return _accepted(path, path.stat().st_mtime_ns) if path.is_file() else []


@functools.cache
def _accepted(path: Path, _modified: int) -> list[dict[str, Any]]:
    remedy = "restore it, or delete it: results made by the code it accepts are then made again"
    changes: Any = files.read_json(path, remedy)
    if not isinstance(changes, list):
        raise files.damaged(path, "holds no list of accepted changes", remedy)
    for change in changes:
        files.require_keys(path, change, {"now": str, "then": str}, remedy)
    return changes


def plugins(settings: Any) -> frozenset[str]:  # noqa: ANN401 - any JSON value
    """The modules of networks, losses and test-time options that settings name."""
    return frozenset(_plugins(settings))


def _plugins(settings: Any) -> Iterator[str]:  # noqa: ANN401
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        if key in PARTS and isinstance(value, dict):
            yield f"{ROOT}.{PARTS[key]}"
        for item in value if isinstance(value, list) else [value]:
            if key in PLUGINS and isinstance(item, dict) and "name" in item:
                yield f"{ROOT}.{PLUGINS[key]}.{item['name']}"
            yield from _plugins(item)


@functools.cache
def _closure(start: str) -> frozenset[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in found or any(name == item or name.startswith(f"{item}.") for item in OBSERVERS):
            continue
        found.add(name)
        waiting.extend(_imports(name))
        parent = name.rpartition(".")[0]
        if parent and parent != ROOT:
            waiting.append(parent)
    return frozenset(found)


def _file(name: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def _tree(name: str) -> ast.Module:
    path = _file(name)
    if path is None:
        message = f"no module {name} in {PACKAGE}"
        raise ModuleNotFoundError(message)
    return _without_words(ast.parse(path.read_bytes(), filename=str(path)))


def _imports(name: str) -> Iterator[str]:
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            candidates = [f"{node.module}.{alias.name}" for alias in node.names]
            candidates = [full if _file(full) else node.module for full in candidates]
        else:
            continue
        for candidate in candidates:
            if candidate.split(".")[0] == ROOT and candidate != ROOT:
                yield candidate


@functools.cache
def _syntax_hash(name: str) -> str:
    """Hash of a module's syntax; of a package, also of the data files in it, such as templates."""
    content = hashlib.sha256(_text(_tree(name)).encode())
    path = _file(name)
    if path is not None and path.name == "__init__.py":
        for data in sorted(path.parent.rglob("*")):
            if data.is_file() and data.suffix not in {".py", ".pyc", ".typed"}:
                content.update(data.name.encode() + data.read_bytes())
    return content.hexdigest()


def _without_words(tree: ast.Module) -> ast.Module:
    """Drop what computes nothing: lone strings (docstrings) and imports for type checkers."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [item for item in body if not (_is_text(item) or _is_for_type_checkers(item))]
            node.body = kept  # type: ignore[attr-defined] # it has a body
    return tree


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _text(node: object) -> str:
    """Write a syntax tree out in a way that is equal over Python's minor versions."""
    if isinstance(node, ast.AST):
        parts = []
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if value is not None and value != [] and name not in {"type_comment", "kind", "type_params"}:
                parts.append(f"{name}={_text(value)}")
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(_text(item) for item in node)}]"
    return repr(node)
