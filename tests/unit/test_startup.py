"""What each command loads before it begins: a job should not wait for packages it does not use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tenter.cli.commands import COMMANDS

HEAVY = ("torch", "mlflow", "matplotlib", "monai", "SimpleITK", "nibabel")

PROGRAM = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""

IMAGES = {"SimpleITK", "nibabel"}
LOADED = {
    "plan": IMAGES,
    "prepare-images": IMAGES,
    "prepare-labels": IMAGES,
    "start-tracking": set(),
    "summarise": set(),
    "publish": {"matplotlib", *IMAGES},
    "report": {"matplotlib", *IMAGES},
    "accept": set(),
    "infer": {"torch", *IMAGES},
    "evaluate": {"torch", *IMAGES},
}
"""The heavy packages that the module of each command loads."""


@pytest.mark.parametrize("command", LOADED)
def test_a_command_loads_only_what_it_uses(command: str) -> None:
    words = [sys.executable, "-c", PROGRAM, COMMANDS[command].module, *HEAVY]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == LOADED[command]


def test_the_snakefile_loads_nothing_heavy() -> None:
    words = [sys.executable, "-c", PROGRAM, "tenter.steps", *HEAVY, "numpy", "pandas", "scipy"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
