"""Fixtures for all tests: tiny cohorts on disk, one thread,
and the example cohorts where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import torch

from builders.tiny_cohorts import Geometry, TinyCohort, write_cohort

# Deadlines time the machine, not the code; `make soak` looks much longer.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=5000)
hypothesis.settings.load_profile("default")

MakeCohort = Callable[..., TinyCohort]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the example cohorts beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the example cohorts are not beside the repository")
    return folder


@pytest.fixture
def geometry() -> type[Geometry]:
    """The class that says where a tiny cohort's volumes lie and how they are stored."""
    return Geometry


@pytest.fixture
def tiny_cohort(tmp_path: Path) -> MakeCohort:
    """Make a cohort of spheres; see `write_cohort` for its arguments."""

    def make(name: str = "cohort", **choices: object) -> TinyCohort:
        # Checked at run time.
        return write_cohort(tmp_path / name, **choices)  # type: ignore[arg-type]

    return make
