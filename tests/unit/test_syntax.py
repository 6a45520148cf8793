"""What is remembered of modules gives the fingerprints that parsing gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenter import provenance, syntax
from tenter.cli.commands import COMMANDS

PROGRAM = """
import ast, sys
from tenter import provenance, syntax
parsed = 0
real = ast.parse
def parse(*arguments, **named):
    global parsed
    parsed += 1
    return real(*arguments, **named)
ast.parse = parse
print(provenance.fingerprint("evaluate"), parsed)
syntax.keep()
"""


def in_new_process(memory: Path) -> tuple[str, int]:
    """The fingerprint of a stage, and how many modules were parsed for it."""
    environment = os.environ | {syntax.MEMORY: str(memory)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    code, parsed = done.stdout.split()
    return code, int(parsed)


def test_a_second_process_parses_nothing_and_gives_the_same_fingerprint(tmp_path: Path) -> None:
    code, parsed = in_new_process(tmp_path / "syntax.json")
    assert parsed > 20
    assert code == provenance.fingerprint("evaluate")
    assert in_new_process(tmp_path / "syntax.json") == (code, 0)


def test_of_an_edited_module_nothing_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("from tenter import files\nx = 1\n")
    before = syntax.parsed(path, "tenter")
    path.write_text("from tenter import files\nx = 2\n")
    after = syntax.parsed(path, "tenter")
    assert before.imports == after.imports == (("tenter", "files"),)
    assert before.sha256 != after.sha256


@pytest.mark.parametrize("content", ["", "[", "{}", '{"by": "older", "modules": {}}', "[1]"])
def test_a_damaged_memory_is_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "syntax.json").write_text(content)
    code, parsed = in_new_process(tmp_path / "syntax.json")
    assert (code, parsed > 20) == (provenance.fingerprint("evaluate"), True)
    assert len(json.loads((tmp_path / "syntax.json").read_text())["modules"]) == parsed


def test_every_stage_has_a_fingerprint() -> None:
    stages = [name.replace("-", "_") for name, command in COMMANDS.items() if command.stage]
    assert len({provenance.fingerprint(stage) for stage in stages}) == len(stages)


def test_arguments_that_do_not_count_may_change(tmp_path: Path) -> None:
    path = tmp_path / "definitions.py"
    hashes = []
    for call in ("Metric(name='a', title='A')", "Metric(name='a', title='B')", "Metric(name='b')"):
        path.write_text(f"METRIC = {call}\n", encoding="utf-8")
        hashes.append(syntax.parsed(path, "tenter", ("title",)).sha256)
    assert hashes[0] == hashes[1] != hashes[2]
