from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tenter.errors import DataError
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
    told = status(study(tmp_path, tmp_path / "r")).splitlines()
    assert "a, fold 0: waiting" in told
    assert "prepared chunks: 0 of 2" in told
    assert "report: not yet" in told


def test_a_training_under_way_tells_its_last_step_and_what_is_left(tmp_path: Path) -> None:
    root = tmp_path / "r/s"
    (root / "checkpoints/a/fold-1").mkdir(parents=True)
    (root / "checkpoints/a/fold-1/step-000000100.json").touch()
    log = root / "logs/train/a/fold-1.log"
    log.parent.mkdir(parents=True)
    said = ["step 50/200, loss 1", "step 100/200, loss 0.5, 01:00 left"]
    log.write_text("".join(f"10:00:00 INFO fold 1: {line}\n" for line in said))
    told = status(study(tmp_path, tmp_path / "r"))
    assert "a, fold 1: step 100/200, loss 0.5, 01:00 left" in told
    assert "step 50/200" not in told


def with_points(folder: Path) -> Path:
    """A study of four measured pairs, three of them with points."""
    path = study(folder, folder / "r")
    header, *rows = (folder / "manifest.tsv").read_text().splitlines()
    rows = [f"{row}\tm{i}.tsv\tf{i}.tsv" if i < 3 else f"{row}\t\t" for i, row in enumerate(rows)]
    text = "\n".join([f"{header}\tmoving_points\tfixed_points", *rows])
    (folder / "manifest.tsv").write_text(text + "\n")
    for chunk in ("0-0", "1-0"):
        table = folder / f"r/s/metrics/a/{chunk}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.touch()
    for pair in ("p0", "p1"):
        mapped = folder / f"r/s/mapped_points/a/{pair}.tsv"
        mapped.parent.mkdir(parents=True, exist_ok=True)
        mapped.touch()
    return path


def test_what_evaluation_carried_over_is_counted(tmp_path: Path) -> None:
    told = status(with_points(tmp_path)).splitlines()
    assert "a: 2 of 3 files of warped labels and mapped points" in told


def test_a_missing_file_of_points_is_found(tmp_path: Path) -> None:
    path = with_points(tmp_path)
    with pytest.raises(DataError, match=r"mapped_points/a/p2\.tsv is missing"):
        status(path, verify=True)
    (tmp_path / "r/s/mapped_points/a/p2.tsv").touch()
    assert "verified" in status(path, verify=True)


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
