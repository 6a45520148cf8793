"""Where the runs of a study are mirrored: an address and the name of an MLflow experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenter import addresses
from tenter.config import Config


@dataclass(frozen=True)
class TrackingStore:
    """A tracking server or database, and an experiment there.

    Attributes:
        uri: address of the server, or of the database in the results; it may contain a login.
        experiment: name of the MLflow experiment.
    """

    uri: str
    experiment: str

    @classmethod
    def of(cls, settings: Config, results: Path) -> TrackingStore:
        """The store that a configuration names; by default a database in the study's results."""
        tracking = settings.tracking
        return cls(
            tracking.uri or f"sqlite:///{results / 'tracking/mlflow.db'}",
            tracking.experiment or settings.study,
        )

    def __str__(self) -> str:
        """The store without its login, as a parameter of `publish`: a new one makes it stale."""
        return f"{addresses.shown(self.uri)} {self.experiment}"
