from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tenter import hooks


class Workflow:
    """As Snakemake's: hooks of the main Snakefile alone are kept."""

    def __init__(self) -> None:
        self.main = True
        self._onstart: Callable[[str], object] = lambda _: None
        self._onsuccess: Callable[[str], object] = lambda _: None
        self._onerror: Callable[[str], object] = lambda _: None

    @property
    def modifier(self) -> SimpleNamespace:
        return SimpleNamespace(is_main_snakefile=lambda: self.main)

    def onstart(self, hook: Callable[[str], object]) -> None:
        if self.main:
            self._onstart = hook

    onsuccess = onerror = onstart

    def import_module(self, study: str, ran: list[str]) -> None:
        self.main = False
        hooks.join(self, {"onstart": lambda log: ran.append(f"{study} {log}")}, study)
        self.main = True


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("m", ["m log"]),
        ("mo", ["m log", "own"]),
        ("om", ["m log", "own"]),
        ("mm", ["m log"]),
        ("mno", ["m log", "n log", "own"]),
        ("omn", ["n log", "m log", "own"]),
        ("mmo", ["m log", "own"]),
    ],
)
def test_hooks_run_once_whatever_the_order(order: str, expected: list[str]) -> None:
    ran: list[str] = []
    workflow = Workflow()
    for step in order:
        if step == "o":
            workflow.onstart(lambda _: ran.append("own"))
        else:
            workflow.import_module(step, ran)
    workflow._onstart("log")  # noqa: SLF001 - as Snakemake does
    assert ran == expected


def test_a_hook_that_fails_stops_those_that_follow() -> None:
    workflow, ran = Workflow(), []

    def fail(log: str) -> None:
        raise RuntimeError(log)

    hooks.join(workflow, {"onstart": fail}, "m")
    workflow.onstart(lambda _: ran.append("own"))
    with pytest.raises(RuntimeError):
        workflow._onstart("log")  # noqa: SLF001 - as Snakemake does
    assert not ran
