"""Fixtures of the unit tests: an MLflow database, made once as that takes seconds;
a locale that stays.
"""

from __future__ import annotations

import locale
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenter import files, tracking
from tenter.stages.start_tracking import start_tracking
from tenter.tracking import Place


@pytest.fixture(autouse=True)
def _locale_stays() -> Iterator[None]:
    """GDCM, by which some tests write DICOM, sets the locale of its process to C."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an MLflow database `mlflow.db` and the record of it, `tracking.json`."""
    folder = tmp_path_factory.mktemp("database")
    uri = f"sqlite:///{folder}/mlflow.db"
    manifest = folder / "manifest.tsv"
    manifest.write_text("pair\n")
    place = folder / "tracking.json"
    start_tracking(
        uri=uri, experiment="demo", study="demo", manifest=manifest, output=place, timeout_s=20.0
    )
    return folder


@pytest.fixture
def place(database: Path, tmp_path: Path) -> Place:
    """A database with an experiment, of this test alone;
    its record is `tracking.json` beside it.
    """
    shutil.copy(database / "mlflow.db", tmp_path / "mlflow.db")
    record = files.read_json(database / "tracking.json") | {
        "uri": f"sqlite:///{tmp_path}/mlflow.db"
    }
    files.write_json(tmp_path / "tracking.json", record)
    return tracking.read_place(tmp_path / "tracking.json")
