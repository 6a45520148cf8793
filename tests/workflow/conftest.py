from __future__ import annotations

import pytest
import yaml

from builders.clones import Clone, clone, enlarge_first, set_aside, simulate, write_config
from golden import expected

LOSSES = """
import numbers_beside

def stretching(field):
    return numbers_beside.FACTOR * field.diff(dim=2).square().mean()
"""


METRIC = """
def extent(displacement_mm):
    return abs(displacement_mm).max()
"""


def use_custom_code(made: Clone) -> None:
    """Give the study a metric, and model b a regulariser whose file imports another."""
    made.config.with_name("losses_beside.py").write_text(LOSSES)
    made.config.with_name("metrics_beside.py").write_text(METRIC)
    made.config.with_name("numbers_beside.py").write_text("FACTOR = 0.5\n")
    content = made.settings()
    terms = [{"name": "bending"}, {"name": "losses_beside.py:stretching"}]
    content["models"]["b"]["losses"]["regularisers"] = terms
    metric = {"name": "metrics_beside.py:extent", "of": "field", "better": "neither"}
    content["evaluation"] = {"metrics": [metric]}
    made.config.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A finished study; one more pair and one more patient lie ready to be added.

    What it wrote stands in `expectation.json`, as other tests edit its results.
    """
    made = clone(tmp_path_factory.mktemp("clone"))
    simulate(made, "cohort", "--pairs", "10", "--patients", "7", "--seed", "1")
    set_aside(made)
    enlarge_first(made)
    write_config(made)
    use_custom_code(made)
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    expected.write(made.root / "expectation.json", expected.expectation(made.results))
    return made
