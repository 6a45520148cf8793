"""Make the MLflow database and experiment, once, before any fold wants them."""

from __future__ import annotations

from pathlib import Path

from tenter import files, tracking


def start_tracking(
    *, uri: str, experiment: str, study: str, manifest: Path, output: Path, timeout_s: float = 10.0
) -> None:
    """Make the place where runs are mirrored; several processes may do so at once.

    A store that cannot be used as it is now stops nothing: a warning says what to do about it.

    Args:
        uri: MLflow's tracking address, such as sqlite:///results/demo/tracking/mlflow.db. A login in it may
            read `***` where the environment variable TENTER_TRACKING_URI holds the whole address.
        experiment: its name; made if it is not there yet.
        study: name of the study, which tells its runs from others of the experiment.
        manifest: the cohort's table of pairs, whose sha256 becomes a tag of every run.
        output: record of the place, for `train`; it holds no login.
        timeout_s: longest time in all that a training may lose to the server.

    Raises:
        InputError: nothing can ever answer at the address.
        TrackingError: a SQLite database cannot be made.
    """
    digest = files.sha256(manifest)
    place = tracking.start(uri, experiment, study, timeout_s, manifest=digest, folder=output.parent)
    tracking.write_place(output, place)
