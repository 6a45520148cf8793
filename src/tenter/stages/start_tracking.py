"""Create the MLflow database and experiment once, before any fold needs them."""

from __future__ import annotations

from pathlib import Path

from tenter import files, tracking


def start_tracking(
    *, uri: str, experiment: str, study: str, manifest: Path, output: Path, timeout_s: float = 10.0
) -> None:
    """Create the MLflow database and experiment; several processes may do so at once.

    A store that is unusable at present does not stop the study: a warning says what to do about it.

    Args:
        uri: Tracking URI of MLflow, such as sqlite:///results/demo/tracking/mlflow.db. Its login
            may be `***` if the environment variable TENTER_TRACKING_URI holds the whole address.
        experiment: Name of the experiment; created if it does not exist.
        study: Name of the study, which distinguishes its runs from others of the experiment.
        manifest: Table of pairs, whose sha256 becomes a tag of every run.
        output: Record of the tracking server for `train`; it contains no login.
        timeout_s: Longest total time in seconds that a training may lose to the server.

    Raises:
        InputError: the address can never be valid.
        TrackingError: the SQLite database cannot be created.
    """
    digest = files.sha256(manifest)
    place = tracking.start(uri, experiment, study, timeout_s, manifest=digest, folder=output.parent)
    tracking.write_place(output, place)
