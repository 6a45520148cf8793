"""Syntax of the package's modules: a hash without docstrings and comments, and what they import.

Parsing takes longer than much of a job's work, so that what was learnt of a module is kept in a
file of the study, under the hash of the module's content: an entry is never out of date.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenter import files

MEMORY = "TENTER_SYNTAX"
"""Environment variable with the path of the file that keeps what is known of modules."""


@dataclass(frozen=True, slots=True)
class Module:
    """What is known of a module.

    Attributes:
        sha256: hash of its syntax, the same for all minor versions of Python.
        imports: pairs of an imported module and a name that is imported from it, or an empty text.
    """

    sha256: str
    imports: tuple[tuple[str, str], ...]


def parsed(path: Path, root: str, unread: tuple[str, ...] = ()) -> Module:
    """The syntax of a module, from memory if it was parsed before.

    Args:
        path: file of the module.
        root: package whose imports are listed.
        unread: arguments of calls that do not count.
    """
    content = path.read_bytes()
    key = " ".join([hashlib.sha256(content).hexdigest(), root, *unread])
    if key not in _known():
        tree = _without_arguments(
            without_text(ast.parse(content, filename=str(path))), frozenset(unread)
        )
        sha256 = hashlib.sha256(text(tree).encode()).hexdigest()
        _known()[key] = Module(sha256, tuple(_imports(tree, root)))
    return _known()[key]


def keep() -> None:
    """Write what is known of modules to the file that the environment names, if it grew."""
    path = os.environ.get(MEMORY)
    if path is None or _known().keys() <= _read(Path(path)).keys():
        return
    modules = {key: [module.sha256, module.imports] for key, module in _known().items()}
    files.write_text(Path(path), files.canonical({"by": _version(), "modules": modules}) + "\n")


@functools.cache
def _known() -> dict[str, Module]:
    path = os.environ.get(MEMORY)
    return {} if path is None else _read(Path(path))


def _read(path: Path) -> dict[str, Module]:
    """The entries of a file; none if it is absent, damaged, or of other code than this module's."""
    try:
        content: Any = json.loads(path.read_bytes())
        if content["by"] != _version():
            return {}
        return {
            key: Module(sha256, tuple((module, name) for module, name in imports))
            for key, (sha256, imports) in content["modules"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


@functools.cache
def _version() -> str:
    """Hash of the code that makes the entries."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _imports(tree: ast.Module, root: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            named = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        yield from (pair for pair in named if pair[0].split(".")[0] == root)


def without_text(tree: ast.Module) -> ast.Module:
    """Remove statements without effect: lone strings (docstrings), imports for type checkers."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            statements = [
                statement
                for statement in body
                if not (_is_text(statement) or _is_for_type_checkers(statement))
            ]
            node.body = statements  # type: ignore[attr-defined] # it has a body
    return tree


def _without_arguments(tree: ast.Module, names: frozenset[str]) -> ast.Module:
    """Remove the keyword arguments of these names from all calls."""
    for node in ast.walk(tree) if names else ():
        if isinstance(node, ast.Call):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in names]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_for_type_checkers(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def text(node: object) -> str:
    """Serialise a syntax tree identically for all minor versions of Python."""
    if isinstance(node, ast.AST):
        parts = []
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if (
                value is not None
                and value != []
                and name not in {"type_comment", "kind", "type_params"}
            ):
                parts.append(f"{name}={text(value)}")
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(text(element) for element in node)}]"
    return repr(node)
