"""Environment variables that MLflow reads."""

from __future__ import annotations

import os

from tenter import addresses
from tenter.tracking.location import Place


def settle(place: Place, retries: int = 0) -> None:
    """Set MLflow's environment variables: short time limits, no messages, the address's login."""
    timeout = str(max(1, min(3, int(place.timeout_s / 2))))
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(retries)
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = timeout
    os.environ.setdefault("PGCONNECT_TIMEOUT", timeout)
    address = place.address
    if addresses.scheme(address) in addresses.WEB and addresses.has_login(address):
        # Not in the address, which MLflow repeats in its messages.
        user, password = addresses.login(address)
        os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = (
            user,
            password,
        )
