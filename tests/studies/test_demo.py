"""The study of `make demo` writes the files, and comes to the figures, that were written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden import expected, record

DEMO = Path(expected.__file__).with_name("demo.json")


@pytest.mark.soak
def test_the_demo_comes_to_the_expected_files_and_figures(tmp_path: Path) -> None:
    results = record.run_demo(tmp_path)
    assert expected.differences(expected.read(DEMO), expected.expectation(results)) == []


def test_the_demos_models_register_better_than_none() -> None:
    figures = expected.read(DEMO)["figures"]
    for model in ("composite", "unet"):
        dice, tre = (figures[f"{model} {name}"] for name in ("structure dice", "landmark tre"))
        assert dice["after"] > dice["before"] + 0.1
        assert tre["after"] < 0.7 * tre["before"]
