from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tenter import files, provenance
from tenter.errors import DataError
from tenter.study import Study
from tenter.tools import verification
from tenter.tools.prune import prune
from tenter.tools.status import status


def study(folder: Path, results: Path) -> Path:
    rows = [f"p{i}\tP{i}\tm{i}\tf{i}" for i in range(4)]
    header = "pair\tpatient\tmoving_image\tfixed_image"
    (folder / "manifest.tsv").write_text("\n".join([header, *rows]) + "\n")
    content = {"study": "s", "manifest": "manifest.tsv", "models": {"a": {}}, "folds": {"count": 2}}
    (folder / "s.yaml").write_text(yaml.safe_dump(content | {"results": str(results)}))
    return folder / "s.yaml"


def test_nothing_done_is_waiting(tmp_path: Path) -> None:
    (tmp_path / "r/s").mkdir(parents=True)
    told = status(study(tmp_path, tmp_path / "r")).splitlines()
    assert "a, fold 0: waiting" in told
    assert "chunks with prepared images: 0 of 2" in told
    assert "report: not yet" in told


def test_from_another_folder_the_results_are_said_to_be_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = study(tmp_path, Path("results"))
    monkeypatch.chdir(tmp_path)
    told = status(path)
    assert f"results/s does not exist in {tmp_path}" in told
    assert "waiting" not in told


SAID = (
    "INFO fold 1: step 0/200, val_dice 0.5, val_soft_dice 0.4, val_tre_mm 9.1, 1 s/step, ? left",
    (
        "INFO fold 1: step 100/200, loss 0.7, dice 0.7, val_dice 0.8, val_tre_mm 4.2, "
        "1 s/step, 01:40 left"
    ),
    "INFO fold 1: step 150/200, loss 0.5, dice 0.5, bending 0.1, 1 s/step, 00:50 left",
)
FIGURES = "step 150/200, loss 0.5, val_dice 0.8 at step 100, val_tre_mm 4.2 at step 100"


def begun(folder: Path, *lines: str, name: str = "train/a/fold-1") -> Path:
    """A study of which one job has left a log."""
    path = study(folder, folder / "r")
    log = folder / f"r/s/logs/{name}.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"10:00:00 {line}\n" for line in lines))
    return path


def line(told: str, name: str) -> str:
    return next(one for one in told.splitlines() if one.startswith(name))


def test_a_training_that_broke_off_tells_how_far_it_came(tmp_path: Path) -> None:
    told = line(status(begun(tmp_path, *SAID)), "a, fold 1:")
    assert told.startswith(f"a, fold 1: stopped, goes on when snakemake runs, {FIGURES} (")


def test_a_failed_training_shows_the_end_of_its_log(tmp_path: Path) -> None:
    told = status(begun(tmp_path, *SAID, "ERROR fold 1: loss not finite"))
    assert line(told, "a, fold 1:").startswith(f"a, fold 1: failed, {FIGURES} (")
    assert "  | 10:00:00 ERROR fold 1: loss not finite" in told.splitlines()


@contextmanager
def tenter_at_work(folder: Path, *words: str) -> Iterator[None]:
    """A process that is called tenter, with these arguments, where the tests run."""
    (folder / "tenter").write_text("sleep 60\n")
    process = subprocess.Popen(["/bin/sh", str(folder / "tenter"), *words], start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_training_that_runs_on_this_machine_tells_what_is_left(tmp_path: Path) -> None:
    path = begun(tmp_path, *SAID)
    with tenter_at_work(tmp_path, "train", "--output", str(tmp_path / "r/s/models/a/fold-1")):
        told = line(status(path), "a, fold 1:")
    assert re.fullmatch(rf"a, fold 1: running, {FIGURES}, 00:50 left, \d+ s ago", told)


READ_BY_OTHERS = [
    ("train", "--images", "r/s/cases/tables/1-0.images.tsv"),
    ("train", "--labels", "r/s/cases/tables/1-0.labels.tsv"),
    ("infer", "--models", "r/s/models/a/fold-1"),
    ("evaluate", "--fields", "r/s/fields/tables/a/1-0.tsv"),
    ("summarise", "--metrics", "r/s/metrics/a/1-0.tsv"),
    ("publish", "--summary", "r/s/summary.tsv"),
]


@pytest.mark.parametrize(
    "words", READ_BY_OTHERS, ids=[" ".join(words[:2]) for words in READ_BY_OTHERS]
)
def test_what_a_job_only_reads_is_not_running(tmp_path: Path, words: tuple[str, str, str]) -> None:
    path = study(tmp_path, tmp_path / "r")
    read = tmp_path / words[2]
    read.parent.mkdir(parents=True)
    read.touch()
    with tenter_at_work(tmp_path, *words[:2], str(read), "--output", str(tmp_path / "elsewhere")):
        assert "running" not in status(path)


def test_a_lock_is_told_with_the_way_out_where_no_snakemake_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path, *SAID)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").touch()
    assert "add --unlock to your snakemake line" in status(path)


def test_a_lock_of_a_snakemake_that_runs_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path, *SAID)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").touch()
    (tmp_path / "snakemake").write_text("sleep 60\n")
    with subprocess.Popen(["/bin/sh", str(tmp_path / "snakemake")]) as process:
        told = status(path)
        process.kill()
    assert "unlock" not in told


def test_chunks_under_way_and_failed_are_told(tmp_path: Path) -> None:
    path = begun(tmp_path, "ERROR m1: is not an image", name="prepare_images/0-0")
    with tenter_at_work(tmp_path, "--table", str(tmp_path / "r/s/cases/tables/1-0.images.tsv")):
        told = status(path)
    assert "chunks with prepared images: 0 of 2, 1 running" in told.splitlines()
    assert "chunks with prepared images: 0-0 failed (" in told
    assert "  | 10:00:00 ERROR m1: is not an image" in told.splitlines()


@pytest.mark.parametrize("who", ["slurmstepd", "slurmstepd-node1"])
def test_what_slurm_did_to_a_job_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    path = begun(tmp_path, *SAID)
    monkeypatch.chdir(tmp_path)
    log = tmp_path / ".snakemake/slurm_logs/rule_train/a_1/7.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{who}: error: *** JOB 7 ON node1 CANCELLED DUE TO TIME LIMIT ***\nother\n")
    told = status(path)
    assert line(told, "a, fold 1:").startswith("a, fold 1: failed")
    assert "DUE TO TIME LIMIT" in told


def test_it_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from tenter.cli.main import main; code = main(['status', sys.argv[1]]);"
        "found = {'torch', 'numpy', 'pandas', 'mlflow'} & set(sys.modules); "
        "sys.exit(code or len(found))"
    )
    command = [sys.executable, "-c", code, str(begun(tmp_path, *SAID))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a, fold 1: stopped" in done.stdout


def with_points(folder: Path) -> Path:
    """A study of four measured pairs, of two of which points were mapped."""
    path = study(folder, folder / "r")
    for chunk in ("0-0", "1-0"):
        table = folder / f"r/s/metrics/a/{chunk}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.touch()
        mapped = [folder / f"r/s/mapped_points/a/{pair}.tsv" for pair in ("p0", "p1")]
        for file in mapped:
            files.write_text(file, "x")
        carried = {str(file): files.sha256(file) for file in mapped}
        provenance.record(table, "evaluate", "{}", "0", read={"carried": carried})
    return path


def test_a_missing_file_of_points_is_found(tmp_path: Path) -> None:
    path = with_points(tmp_path)
    (tmp_path / "r/s/mapped_points/a/p1.tsv").unlink()
    with pytest.raises(DataError, match=r"mapped_points/a/p1\.tsv: is missing"):
        verification.verify(Study.load(path))
    assert "a: measured chunks: 0 of 2, 2 with missing files" in status(path).splitlines()


def test_mapped_points_of_removed_pairs_and_models_are_pruned(tmp_path: Path) -> None:
    path = with_points(tmp_path)
    root = tmp_path / "r/s/mapped_points"
    (root / "a/gone.tsv").touch()
    (root / "other").mkdir()
    (root / "other/p0.tsv").touch()
    prune(path, yes=True)
    assert sorted(item.relative_to(root).as_posix() for item in root.rglob("*")) == [
        "a",
        "a/p0.tsv",
        "a/p1.tsv",
    ]
