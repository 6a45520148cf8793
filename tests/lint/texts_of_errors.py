"""Fail on code that reads the text of one of tenter's errors instead of the faults it holds."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from tenter import errors

SOURCES = Path(__file__).parents[2] / "src"
CLASSES = {name for name, kind in inspect.getmembers(errors, inspect.isclass)}
TEXTS = {"message", "fix", "text"}
READING = {"partition", "rpartition", "split", "rsplit", "removeprefix", "removesuffix"}
READING |= {"startswith", "endswith", "splitlines"}


def readings(source: str, *, in_config: bool = False) -> Iterator[tuple[int, str]]:
    """Lines that turn a caught error into text, or take a fault's text apart.

    Args:
        source: Python code.
        in_config: whether it validates the configuration.

    Yields:
        The line and what to do instead.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and node.name and _classes(node) & CLASSES:
            inside = (inner for line in node.body for inner in ast.walk(line))
            for inner in inside:
                if isinstance(inner, ast.Call) and _is_text_of(inner, node.name):
                    yield inner.lineno, f"`str({node.name})`: read `{node.name}.faults`"
        elif isinstance(node, ast.Raise) and ast.unparse(node).startswith("raise ValueError("):
            if in_config:
                yield node.lineno, "raise InvalidValueError(message, fix), which keeps both apart"
        elif isinstance(node, ast.Call) and _takes_apart(node.func):
            yield node.lineno, f"`{ast.unparse(node)[:60]}`: read an attribute of the fault"


def _classes(handler: ast.ExceptHandler) -> set[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {kind.id for kind in kinds if isinstance(kind, ast.Name)}


def _is_text_of(node: ast.Call, name: str) -> bool:
    return (
        isinstance(node.func, ast.Name)
        and node.func.id in {"str", "repr"}
        and [ast.unparse(argument) for argument in node.args] == [name]
    )


def _takes_apart(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in READING
        and isinstance(function.value, ast.Attribute)
        and function.value.attr in TEXTS
        and ast.unparse(function.value.value).endswith(("fault", "error", "faults[0]"))
    )


def main() -> int:
    """Print every place; return 1 if there is one."""
    found = [
        f"{path.relative_to(SOURCES.parent)}:{line}: {advice}"
        for path in sorted(SOURCES.rglob("*.py"))
        for line, advice in readings(
            path.read_text(encoding="utf-8"), in_config=path.parent.name == "config"
        )
    ]
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
