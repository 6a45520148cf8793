"""A whole study writes the files, and comes to the figures, that were written down."""

from __future__ import annotations

from pathlib import Path

from builders.clones import Clone
from golden import expected

GOLDEN = Path(expected.__file__).parent
DEMO_ONLY = {"warped_labels/{model}/{pair}.nii.gz"}
"""Exports that the demo's configuration asks for, and the small study's does not."""


def test_a_study_writes_the_expected_files_and_comes_to_the_expected_figures(
    finished: Clone,
) -> None:
    actual = finished.root / "expectation.json"
    lines = expected.differences(expected.read(GOLDEN / "trial.json"), expected.read(actual))
    command = f"python tests/golden/expected.py write {actual} {GOLDEN / 'trial.json'}"
    assert lines == [], f"if this is meant: {command}; and the same files in demo.json"


def test_the_demo_writes_the_same_files() -> None:
    demo, trial = (
        set(expected.read(GOLDEN / name)["files"]) for name in ("demo.json", "trial.json")
    )
    assert demo == trial | DEMO_ONLY
