from __future__ import annotations

from pathlib import Path

import pytest

from tenter import files, folds, manifest
from tenter.config import Folds, SplitSettings
from tenter.errors import DataError
from tenter.stages.split import split

SETTINGS = SplitSettings(folds=Folds(count=2), stratum=None)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [f"p{i}\tP{i}\tm{i}\tf{i}" for i in range(4)]
    path = tmp_path / "manifest.tsv"
    path.write_text("\n".join(["pair\tpatient\tmoving_image\tfixed_image", *rows]) + "\n")
    return path


def test_lock_and_copy_hold_the_planned_assignment(table: Path, tmp_path: Path) -> None:
    planned = folds.assign(manifest.read(table), 2, 0, {})
    lock, output = tmp_path / "x.folds.tsv", tmp_path / "out/folds.tsv"
    split(manifest=table, settings=SETTINGS, assignment=files.digest(planned)[:16], lock=lock, output=output)
    assert folds.read_lock(lock) == folds.read_lock(output) == planned


def test_an_unchanged_lock_is_not_touched(table: Path, tmp_path: Path) -> None:
    planned = folds.assign(manifest.read(table), 2, 0, {})
    lock = tmp_path / "x.folds.tsv"
    folds.write_lock(lock, planned)
    before = lock.stat().st_mtime_ns
    digest = files.digest(planned)[:16]
    split(manifest=table, settings=SETTINGS, assignment=digest, lock=lock, output=tmp_path / "folds.tsv")
    assert lock.stat().st_mtime_ns == before


def test_a_manifest_edited_since_planning_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="edited since"):
        split(
            manifest=table, settings=SETTINGS, assignment="0" * 16, lock=tmp_path / "l", output=tmp_path / "o"
        )
    assert not (tmp_path / "l").exists()
