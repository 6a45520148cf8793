"""Record the folds: the lock file beside the configuration, and the study's own copy."""

from __future__ import annotations

from pathlib import Path

from tenter import files, folds
from tenter.config import SplitSettings
from tenter.errors import DataError
from tenter.manifest import read


def split(*, manifest: Path, settings: SplitSettings, assignment: str, lock: Path, output: Path) -> None:
    """Write which patient is in which fold.

    Args:
        manifest: the table of pairs.
        settings: number of folds, seed of the first deal, column of strata.
        assignment: fingerprint of the assignment that the workflow was planned with.
        lock: file beside the configuration that keeps folds where they are as a cohort grows.
        output: the study's copy.

    Raises:
        DataError: the manifest or the lock file was edited since the workflow was planned.
    """
    rules = settings.folds
    pairs = read(manifest, settings.stratum)
    dealt = folds.assign(pairs, rules.count, rules.seed, folds.read_lock(lock))
    if files.digest(dealt)[:16] != assignment:
        message = f"{manifest}: edited since this run was planned; run snakemake again"
        raise DataError(message)
    if folds.read_lock(lock) != dealt:
        folds.write_lock(lock, dealt)
    folds.write_lock(output, dealt)
