"""Source of custom code, read without running it: its names, its imports, a hash of its syntax."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from tenter import syntax


def digest(path: Path) -> str:
    """Hash of a file's syntax, without comments and docstrings.

    Raises:
        SyntaxError: it is not valid Python.
    """
    return hashlib.sha256(syntax.text(tree(path)).encode()).hexdigest()


def tree(path: Path) -> ast.Module:
    """The syntax tree of a file without statements that have no effect.

    Raises:
        SyntaxError: it is not valid Python.
    """
    return _parsed(path.read_bytes(), str(path))


def imports(path: Path, module: str = "", *, package: bool = False) -> Iterator[str]:
    """Full names of what a file imports: of modules, or of names in them.

    Args:
        path: the file.
        module: its name, to which its relative imports are relative; '' for a file on its own.
        package: whether it is the `__init__.py` of that module.

    Raises:
        SyntaxError: it is not valid Python.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            up = node.level - package
            base = ".".join(parts[: len(parts) - up]) if node.level else ""
            start = ".".join(filter(None, (base, node.module)))
            yield from (".".join(filter(None, (start, alias.name))) for alias in node.names)


def defined(path: Path) -> list[str]:
    """Names that a file defines or imports at its top level.

    Raises:
        SyntaxError: it is not valid Python.
    """
    names: dict[str, None] = {}
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name, None) for alias in node.names)
        else:
            targets = (item for item in ast.walk(node) if isinstance(item, ast.Name))
            names.update((item.id, None) for item in targets if isinstance(item.ctx, ast.Store))
    return list(names)


@functools.lru_cache(maxsize=1024)
def _parsed(content: bytes, path: str) -> ast.Module:
    return syntax.without_text(ast.parse(content, filename=path))
