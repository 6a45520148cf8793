from __future__ import annotations

import pytest

from builders.clones import Clone, clone, enlarge_first, set_aside, simulate, write_config
from golden import expected


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
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    expected.write(made.root / "expectation.json", expected.expectation(made.results))
    return made
