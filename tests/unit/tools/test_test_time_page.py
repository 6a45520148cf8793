"""Every block of the how-to page on test-time options does what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import new_patient
from tenter import config, files
from tenter.cli.main import main

PAGE = (Path(__file__).parents[3] / "docs/how-to/test-time.md").read_text(encoding="utf-8")
STUDY, CAREFUL = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [shlex.split(line) for line in re.findall(r"^    tenter (.+)$", PAGE, re.MULTILINE)]
MODELS = Path("results/demo/models")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the page has it: the seeds of a model, two images, a file of an option."""
    for name, weight in (("unet", 0.1), ("unet-seed1", 0.15)):
        for fold in "01":
            new_patient.write_model(tmp_path / MODELS / name, fold, weight=weight)
    new_patient.write_images(tmp_path)
    (tmp_path / "careful.yaml").write_text(CAREFUL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_configuration_registers_as_it_says() -> None:
    content = {"study": "s", "manifest": "m.tsv", **yaml.safe_load(STUDY)}
    read = config.parse(content, Path("page"))
    names = [
        "unet",
        "unet-seed1",
        "unet-seed2",
        "unet-seeds",
        "unet-posed",
        "unet-refined",
        "unet-all",
    ]
    assert read.registering_names() == names
    _, everything = read.options()["unet-all"]
    assert (everything.ensemble, everything.poses is None, everything.refine is None) == (
        True,
        False,
        False,
    )


def test_the_pages_commands_run_as_they_stand(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [main(words) for words in COMMANDS] == [0, 0]
    said = capsys.readouterr().out
    assert "4 further poses averaged; refined in 30 steps" in said
    assert "model: unet, unet-seed1 (4 folds averaged)" in said
    record = files.read_json(folder / "patient-9/register.json")["test_time"]
    assert (record["members"], record["poses"], record["refine"]["steps"]) == (2, 4, 30)
    assert record["settings"]["poses"]["rotation_deg"] == 5


@pytest.mark.usefixtures("folder")
def test_the_pages_python_runs_as_it_stands() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "page", "exec"), names)  # noqa: S102 - our own page
    assert names["result"].done["poses"] == 4
