"""Hooks of a workflow imported as a module; Snakemake only runs those of the main Snakefile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Hook = Callable[..., object]
Workflow = Any
"""Snakemake's object."""

NAMES = ("onstart", "onsuccess", "onerror")

_JOINED = "_tenter_joined"
"""Attribute of a workflow: the studies whose hooks are joined already."""


def join(workflow: Workflow, hooks: Mapping[str, Any], study: str) -> None:
    """Join a module's hooks to those of the Snakefile that imports it.

    The module's hooks run first, whether that Snakefile declares its own before or after the
    import. Each `use rule` statement reads the module's Snakefile again; its hooks are joined
    only once.

    Args:
        workflow: Snakemake's workflow while it reads the module.
        hooks: the module's hooks by name, such as its globals, where Snakemake puts them.
        study: name of the study that the hooks belong to.
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


def _declared(workflow: Workflow, module_hook: Hook, declare: Hook) -> Hook:
    def declared(hook: Hook) -> None:
        declare(_both(module_hook, hook) if workflow.modifier.is_main_snakefile() else hook)

    return declared
