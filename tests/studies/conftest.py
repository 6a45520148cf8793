"""The cohorts of the short studies, simulated once; and what `make check` leaves to `make soak`."""

from __future__ import annotations

import pytest

from builders.short_cohorts import Cohorts

LEFT = "not soak"


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is deselected: xdist does not."""
    if config.option.markexpr != LEFT:
        return None
    return "deselected: the short studies marked `soak`; `make soak` runs all of them"


@pytest.fixture(scope="session")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> Cohorts:
    """Prepared studies by the names of their cohorts."""
    return Cohorts(tmp_path_factory.mktemp("cohorts"))
