"""Paths with signs that Snakemake or a shell could take for their own, from the command line on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from builders import faulty_files
from builders.clones import ROOT


def dry_run(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--cores",
        "1",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "DATA": str(folder)}
    return subprocess.run(
        [*command, "--dry-run", "--configfile", str(config)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def odd_study(folder: Path, name: str, results: str) -> Path:
    """A study whose files lie in a folder called `name`, as does its configuration."""
    config = faulty_files.cohort(folder / name)
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.unlink()
    path = config.with_name(f"{name}.yaml")
    content |= {"results": results, "manifest": f"$DATA/{name.replace('$', '$$')}/manifest.tsv"}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("{P01}", "res {x}"),
        ("<results>", "<logs>"),
        ('it\'s "ü" #?&;', "$DATA/a'b"),
        ("{ x }{y,\\d+} $$", "{{z}}"),
    ],
)
def test_a_study_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str, results: str) -> None:
    config = odd_study(tmp_path, name, results)
    done = dry_run(config, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        results.replace("$DATA", str(tmp_path)) + "/small/cases/tables/0-0.images.tsv"
        in done.stdout
    )
    assert "prepare the labels of chunk 1-0" in done.stdout


@pytest.mark.parametrize("place", ["results", "cell"])
def test_what_the_workflow_replaces_is_refused_with_its_place(tmp_path: Path, place: str) -> None:
    config = odd_study(tmp_path, "data", "res/{model}" if place == "results" else "res")
    table = config.parent / "manifest.tsv"
    if place == "cell":
        table.write_text(table.read_text().replace("p2_us.nii.gz", "{chunk}/p2_us.nii.gz", 1))
    done = dry_run(config, tmp_path)
    assert done.returncode == 1
    where = (
        f"{config.relative_to(tmp_path)}:" if place == "results" else "manifest.tsv:3:fixed_image: "
    )
    assert where in done.stdout + done.stderr
    assert "which the workflow replaces in paths" in done.stdout + done.stderr
