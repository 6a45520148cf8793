"""A finished study in another place: what is stale there,
and that nothing appears in the old one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from builders.clones import Clone, jobs

ODD = 'it\'s {P01} <logs> $HOME "ü" #?&;'
"""A folder's name that a shell, Snakemake or SQL could misread."""


@pytest.fixture
def moved(finished: Clone, tmp_path: Path) -> Clone:
    """The finished study, copied and then moved into a folder of an odd name."""
    shutil.copytree(finished.root, tmp_path / "first", symlinks=True)
    (tmp_path / "first").rename(tmp_path / ODD)
    return Clone(tmp_path / ODD)


def times(folder: Path) -> dict[str, int]:
    """Files of a folder, each with its time of change."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def change(study: Clone, **keys: object) -> None:
    study.config.write_text(yaml.safe_dump(study.settings() | keys, sort_keys=False))


def test_a_moved_working_folder_is_gone_on_with_in_its_new_place(
    moved: Clone, finished: Clone
) -> None:
    assert {name.split()[0] for name in moved.stale()} <= {
        "publish"
    }  # MLflow's files lie elsewhere now
    before = times(finished.results)
    change(moved, report={"title": "Moved"})
    done = moved.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name.split()[0] for name in jobs(done.stdout + done.stderr)} <= {"report", "publish"}
    assert "Moved" in (moved.results / "report.html").read_text(encoding="utf-8")
    assert not (moved.root.parent / "first").exists()
    assert times(finished.results) == before
    assert moved.stale() == set()


@pytest.mark.parametrize("folder", ["the same", "another"])
def test_moved_results_are_stale_by_what_changed_alone(moved: Clone, folder: str) -> None:
    (moved.root / "results").rename(moved.root.parent / "{x} of <me>")
    if folder == "another":
        shutil.rmtree(moved.root / ".snakemake")
    change(moved, results="../{x} of <me>")
    assert {name.split()[0] for name in moved.stale()} <= {"publish"}
    change(moved, summary={"bootstrap": 101})
    assert {name.split()[0] for name in moved.stale()} - {"publish"} == {"summarise", "report"}
    assert not (moved.root / "results").exists()


def test_a_pair_added_after_a_move_is_all_that_is_made(moved: Clone) -> None:
    (moved.root / "results").rename(moved.root.parent / "elsewhere")
    change(moved, results="../elsewhere")
    with moved.manifest.open("a") as stream:
        stream.write((moved.root / "again.tsv").read_text())
    made = moved.stale()
    assert len([name for name in made if name.startswith("prepare_images")]) == 1
    assert len([name for name in made if name.startswith("train")]) == 4
