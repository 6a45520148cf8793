"""A stage takes four files: its module, its settings, its rule and its step. All else follows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from builders.clones import Clone, clone, write_config

MODULE = '''
"""List the models of a study."""

from __future__ import annotations

from pathlib import Path

from tenter import files
from tenter.config.settings import ListModelsSettings


def list_models(*, summary: Path, settings: ListModelsSettings, code: str, output: Path) -> None:
    """List the models of a study.

    Args:
        summary: Table of distributions.
        settings: The models (JSON).
        code: Fingerprint of this stage's code.
        output: List to write.
    """
    files.write_text(output, ", ".join(settings.models))
'''
SETTINGS = '''class ListModelsSettings(StudySettings):
    """Settings of `list_models`."""

    stage: ClassVar = "list_models"

    models: tuple[str, ...]
    """Models in the order of the configuration."""


def of_stages('''
RULE = """

rule list_models:
    input:
        summary=R / "summary.tsv",
    output:
        R / "models.txt",
    params:
        settings=lambda wildcards: study.settings("list_models"),
        code=lambda wildcards: study.code("list_models"),
    message:
        "list the models"
    shell:
        "tenter list-models --summary {input.summary:q} --settings {params.settings:q} "
        "--code {params.code:q} --output {output:q}"
"""
STEP = """        listed = self.root / "models.txt"
        yield Step("list_models", "list_models", None, (listed,), listed, (tables[1],))
        page = self.root / REPORT
"""
RUN = """
import sys
from pathlib import Path
from tenter.cli.main import main
from tenter.study import Study
settings = Study.load(Path("config/trial.yaml")).settings("list_models")
flags = ["--summary", "summary.tsv", "--settings", settings, "--code", "", "--output", "models.txt"]
sys.exit(main(["list-models", *flags]))
"""


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A study in a copy of the package and the workflow that have one more stage."""
    made = clone(tmp_path_factory.mktemp("new-stage"))
    package = made.root / "src/tenter"
    (package / "stages/list_models.py").write_text(MODULE, encoding="utf-8")
    replace(package / "config/settings.py", "def of_stages(", SETTINGS)
    replace(package / "steps.py", "        page = self.root / REPORT\n", STEP)
    with (made.root / "workflow/rules/reporting.smk").open("a", encoding="utf-8") as rules:
        rules.write(RULE)
    write_config(made, folds={"count": 2})
    made.manifest.parent.mkdir()
    rows = [f"p{i}\tP{i}\tm{i}.nii\tf{i}.nii" for i in range(4)]
    made.manifest.write_text("\n".join(["pair\tpatient\tmoving_image\tfixed_image", *rows]) + "\n")
    for name in (f"{side}{i}.nii" for side in "mf" for i in range(4)):
        (made.manifest.parent / name).touch()
    return made


def test_a_new_stage_is_a_job_of_the_study(extended: Clone) -> None:
    done = extended.run("--dry-run")
    assert done.returncode == 0, done.stderr
    assert "list the models" in done.stdout + done.stderr


def test_a_new_stage_is_a_command_with_settings_and_provenance(extended: Clone) -> None:
    (extended.root / "summary.tsv").touch()
    done = extended.tool(sys.executable, "-c", RUN)
    assert done.returncode == 0, done.stderr
    assert (extended.root / "models.txt").read_text(encoding="utf-8") == "a, b"
    record = json.loads((extended.root / "models.txt.provenance.json").read_text(encoding="utf-8"))
    assert record["settings"] == {"models": ["a", "b"]}
