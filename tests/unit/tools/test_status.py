from __future__ import annotations

from pathlib import Path

import yaml

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
