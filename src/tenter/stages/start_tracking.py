"""Make the MLflow database and experiment, once, before any fold wants them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tenter import files, tracking


def start_tracking(
    *, uri: str, experiment: str, study: str, manifest: Path, output: Path, timeout_s: float = 10.0
) -> None:
    """Make the place where runs are mirrored; several processes may do so at once.

    Args:
        uri: MLflow's tracking address, such as sqlite:///results/demo/tracking/mlflow.db.
        experiment: its name; made if it is not there yet.
        study: name of the study, which tells its runs from others of the experiment.
        manifest: the cohort's table of pairs, whose sha256 becomes a tag of every run.
        output: record of the place, for `train` and `publish`.
        timeout_s: longest time in all that a training may lose to the server.

    Raises:
        TrackingError: a SQLite database cannot be made.
    """
    place = tracking.start(uri, experiment, study, timeout_s)
    files.write_json(output, asdict(place) | {"manifest": files.sha256(manifest)})
