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


def use_custom_loss(made: Clone) -> None:
    """Give model b a regulariser in a file beside the configuration, which imports another."""
    made.config.with_name("losses_beside.py").write_text(LOSSES)
    made.config.with_name("numbers_beside.py").write_text("FACTOR = 0.5\n")
    content = made.settings()
    terms = [{"name": "bending"}, {"name": "losses_beside.py:stretching"}]
    content["models"]["b"]["losses"]["regularisers"] = terms
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
    use_custom_loss(made)
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    expected.write(made.root / "expectation.json", expected.expectation(made.results))
    return made
