"""`tenter check` as a process: exit codes, what is printed, what must never happen."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders import faulty_files

# Linux counts to a process's peak memory what it held before it became the command:
# that of the tests, were it started from here, and of a small interpreter, started from there.
MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return faulty_files.cohort(tmp_path / "study")


def run(config: Path, *flags: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command in the study's folder."""
    command = [str(Path(sys.executable).with_name("tenter")), "check", config.name, *flags]
    return subprocess.run(
        command, cwd=config.parent, capture_output=True, text=True, timeout=seconds, check=False
    )


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_sound_study_exits_0_and_is_summed_up(config: Path) -> None:
    done = run(config, "--output", "check.json", "--cache", "cache.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 image pairs of 3 patients" in done.stdout
    assert (config.parent / "check.json").is_file()


def test_all_faults_are_told_one_a_line_and_nothing_is_started(config: Path) -> None:
    folder = config.parent
    before = {path.name: path.read_bytes() for path in folder.glob("p2_*")}
    faulty_files.cut_half(folder / "p1_mr.nii.gz")
    faulty_files.html(folder / "p3_mr.nii.gz")
    edit(config, "learning_rate: 1.0e-2", "learning_rate: -1")
    edit(folder / "manifest.tsv", "pair-p3\t", "pair-p2\t")
    done = run(config, "--output", "check.json")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("ERROR ") and ": " in line and "; " in line for line in lines)
    assert "manifest.tsv:2:moving_image: p1_mr.nii.gz: is truncated" in done.stderr
    assert not (folder / "check.json").exists()
    assert "SECRET" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert before == {path.name: path.read_bytes() for path in folder.glob("p2_*")}


def test_what_is_no_file_does_not_hang_and_a_lying_one_takes_little_memory(config: Path) -> None:
    spoilers = (
        faulty_files.fifo,
        faulty_files.folder,
        faulty_files.dangling,
        faulty_files.huge,
        faulty_files.bomb,
    )
    for spoil, name in zip(spoilers, ("p1_mr", "p1_us", "p2_mr", "p2_us", "p3_mr"), strict=True):
        spoil(config.parent / f"{name}.nii.gz")
    command = [str(Path(sys.executable).with_name("tenter")), "check", config.name]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command],
        cwd=config.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == len(spoilers)
    assert int(done.stdout.splitlines()[-1]) < 1_000_000  # kB


def test_paths_with_blanks_and_umlauts_work_in_any_locale(tmp_path: Path) -> None:
    config = faulty_files.cohort(tmp_path / "Übersicht der Fälle")
    (config.parent / "p1_mr.nii.gz").rename(config.parent / "p1 für später.nii.gz")
    edit(config.parent / "manifest.tsv", "p1_mr.nii.gz", "p1 für später.nii.gz")
    faulty_files.constant(config.parent / "p1 für später.nii.gz")
    command = [str(Path(sys.executable).with_name("tenter")), "check", str(config)]
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=tmp_path, env=bare, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert b"is constant" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_thousand_rows_are_checked_by_header_in_half_a_minute(tmp_path: Path) -> None:
    config = faulty_files.cohort(tmp_path / "study", [f"p{number}" for number in range(5)])
    table = config.parent / "manifest.tsv"
    header, *rows = table.read_text(encoding="utf-8").splitlines()
    many = []
    for number in range(1000):
        names = rows[number % 5].split("\t")[2:]
        for name in names:
            os.link(config.parent / name, config.parent / f"{number}_{name}")
        many.append(
            "\t".join([f"pair-{number}", f"s-{number}", *(f"{number}_{name}" for name in names)])
        )
    table.write_text("\n".join([header, *many]) + "\n", encoding="utf-8")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    assert run(config, "--quick").returncode == 0
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used.ru_utime
    assert min(spent, time.monotonic() - start) < 30
