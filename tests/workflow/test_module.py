"""A Snakefile that imports tenter's as a module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from builders.clones import Clone, clone, simulate, write_config

STUDY = 'configfile: "config/trial.yaml"'
SNAKEFILE = """\
{configfile}

module tenter:
    snakefile: "tenter/Snakefile"
    config: config
{options}

use rule * from tenter{name}

onstart:
    print("an onstart of its own")
"""


@pytest.fixture(scope="module")
def importing(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A folder with a study, and the package and its workflow in a folder below."""
    made = clone(tmp_path_factory.mktemp("importing"))
    (made.root / "tenter").mkdir()
    for name in ("Snakefile", "workflow"):
        (made.root / name).rename(made.root / "tenter" / name)
    simulate(made, "cohort", "--pairs", "4", "--patients", "4", "--seed", "1")
    write_config(made, folds={"count": 2}, models={})
    return made


def run(
    made: Clone, *words: str, configfile: str = "", options: str = "", name: str = ""
) -> subprocess.CompletedProcess[str]:
    text = SNAKEFILE.format(configfile=configfile or STUDY, options=options, name=name)
    (made.root / "Snakefile").write_text(text)
    return made.tool(sys.executable, "-m", "snakemake", "--cores", "1", *words)


@pytest.mark.parametrize("name", [pytest.param("", marks=pytest.mark.soak), " as tenter_*"])
def test_its_jobs_are_planned_with_and_without_a_prefix(importing: Clone, name: str) -> None:
    write_config(importing, folds={"count": 2})
    done = run(importing, "--dry-run", name=name)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert ("tenter_train" in said) == bool(name)
    assert "train a, fold 0" in said


def test_a_fault_stops_it_before_the_first_job_and_its_own_hook(importing: Clone) -> None:
    write_config(importing, folds={"count": 2})
    image = next((importing.root / "cohort/images").glob("*fixed*"))
    content = image.read_bytes()
    image.write_bytes(content[:200])
    try:
        done = run(importing, "results/trial/cohort/plan.json", name=" as tenter_*")
    finally:
        image.write_bytes(content)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"{image.name}" in said
    assert "nothing was started: check says why, above" in said
    assert "an onstart of its own" not in said
    assert not (importing.root / "results/trial/cohort/plan.json").exists()


@pytest.mark.parametrize(
    ("configfile", "options", "complaint"),
    [
        (STUDY, '    prefix: "elsewhere"', "set `results` in the study's"),
        pytest.param(
            STUDY,
            '    replace_prefix: {"results/": "x/"}',
            "set `results` in the study's",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            'config["study"] = "trial"', "", "give one configuration file", marks=pytest.mark.soak
        ),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(
    importing: Clone, configfile: str, options: str, complaint: str
) -> None:
    done = run(importing, "--dry-run", configfile=configfile, options=options)
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.soak
def test_a_whole_study_runs_beside_hooks_of_its_own(importing: Clone) -> None:
    write_config(importing, folds={"count": 2})
    done = run(importing, name=" as tenter_*")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("an onstart of its own") == 1
    assert Path(importing.results / "report.html").is_file()
    assert f"report: {Path('results/trial/report.html')}" in said


@pytest.mark.soak
@pytest.mark.parametrize(
    "name",
    [
        "config/trial.accepted.json",
        "config/trial.folds.tsv",
        "results/trial/cohort/plan.json.provenance.json",
    ],
)
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\xff", b"[[[", b"3\n", b"\0" * 99])
def test_a_damaged_file_stops_the_start_in_a_line(
    importing: Clone, name: str, content: bytes
) -> None:
    write_config(importing, folds={"count": 2})
    (importing.root / "results/trial/cohort").mkdir(parents=True, exist_ok=True)
    (importing.root / "results/trial/cohort/plan.json").write_text("{}")
    (importing.root / name).write_bytes(content)
    try:
        done = run(importing, "--dry-run")
    finally:
        (importing.root / name).unlink()
        (importing.root / "results/trial/cohort/plan.json").unlink()
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert name in said
    assert "Traceback" not in said
