"""Stages that compute without torch do not load it: its import would be half of their start."""

from __future__ import annotations

import subprocess
import sys

LIGHT = ("start_tracking", "plan", "summarise", "report", "publish")

SCRIPT = """
import importlib, sys
for stage in sys.argv[1:]:
    importlib.import_module(f"tenter.stages.{stage}")
    print(stage, "torch" in sys.modules)
"""


def test_stages_that_compute_without_torch_do_not_load_it() -> None:
    command = [sys.executable, "-c", SCRIPT, *LIGHT]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{stage} False" for stage in LIGHT]
