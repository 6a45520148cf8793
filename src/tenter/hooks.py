"""Hooks of a workflow that is imported as a module: Snakemake runs those of the main Snakefile alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Hook = Callable[..., object]
NAMES = ("onstart", "onsuccess", "onerror")

_JOINED = "_tenter_joined"
"""Attribute of a workflow: which study's hooks are joined already."""


def join(workflow: Any, hooks: Mapping[str, Any], study: str) -> None:  # noqa: ANN401 - Snakemake's object
    """Join a module's hooks to those of the Snakefile that imports it.

    They run first, whether that Snakefile declares its own before or after the import. Each
    `use rule` statement reads the module's Snakefile again; its hooks are joined once.

    Args:
        workflow: Snakemake's, while it reads the module.
        hooks: the module's own by name, such as its globals, where Snakemake puts them.
        study: tells the hooks of one study from those of another.
    """
    joined = workflow.__dict__.setdefault(_JOINED, set())
    if study in joined:
        return
    joined.add(study)
    for name in NAMES:
        if name in hooks:
            setattr(workflow, f"_{name}", _both(hooks[name], getattr(workflow, f"_{name}")))
            setattr(workflow, name, _declared(workflow, hooks[name], getattr(workflow, name)))


def _both(first: Hook, second: Hook) -> Hook:
    def both(log: object) -> None:
        first(log=log)
        second(log)

    return both


def _declared(workflow: Any, own: Hook, declare: Hook) -> Hook:  # noqa: ANN401 - Snakemake's object
    def declared(hook: Hook) -> None:
        declare(_both(own, hook) if workflow.modifier.is_main_snakefile() else hook)

    return declared
