"""A metric takes two files: its module in `metrics/strict` and its definition. All else follows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

MODULE = '''
"""Overlap of a label as intersection over union."""

import numpy as np


def measure(label):
    """From 0 to 1."""
    return float(np.sum(label.warped & label.fixed) / np.sum(label.warped | label.fixed))
'''

DEFINITION = """
    Metric(
        name="jaccard", unit="1", better="higher", roles=("structure",),
        title="Jaccard index", decimals=2, most=1.0,
        meaning="Intersection over union.",
    ),
)  # fmt: skip


def _of_challenge("""

STUDY = """
import json, sys
from pathlib import Path

from builders.measured_pairs import (
    AFFINE, FIXED_BALLS, MAP, MOVING, MOVING_BALLS, MeasuredStudy, balls, shifted,
)
from tenter import typed_tables
from tenter.config import SummariseSettings, Summary
from tenter.reporting import listings, results, sections
from tenter.stages.summarise import summarise
from tenter.statistics.lines import SummaryLine, pick

root = Path(sys.argv[1])
study = MeasuredStudy(root)
study.add("p", shifted(9.0), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
rows = study.evaluate()
(root / "all").mkdir()
summarise(
    metrics=(root / "metrics.tsv",), code="c", output=root / "all/metrics.tsv",
    settings=SummariseSettings(summary=Summary(), models=("local",)),
    summary=root / "summary.tsv", comparison=root / "comparison.tsv",
    challenges=root / "challenges.tsv",
)
line = pick(typed_tables.read(root / "summary.tsv", SummaryLine), metric="jaccard")
plots = sections.distributions(results.groups(rows, ("local",)), ("local",))
dice, jaccard = ([row for row in rows if (row.metric, row.label) == (name, "gland")][0]
                 for name in ("dice", "jaccard"))
print(json.dumps({
    "dice": dice.after, "jaccard": jaccard.after, "unit": jaccard.unit,
    "median": line.after.median, "worse_pairs": line.worse_pairs,
    "plots": [figure.title for block in plots.blocks for figure in block.figures],
    "meanings": [row[0] for row in listings.meanings({row.metric for row in rows}).rows],
}))
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a study shows of a metric that was added to a copy of the package."""
    folder = tmp_path_factory.mktemp("new-metric")
    package = folder / "src/tenter"
    shutil.copytree(ROOT / "src/tenter", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "metrics/strict/jaccard.py").write_text(MODULE, encoding="utf-8")
    definitions = package / "metrics/definitions.py"
    text = definitions.read_text(encoding="utf-8")
    old = "\n)  # fmt: skip\n\n\ndef _of_challenge("
    assert text.count(old) == 1
    definitions.write_text(text.replace(old, DEFINITION), encoding="utf-8")
    (folder / "results").mkdir()
    environment = os.environ | {"PYTHONPATH": f"{folder / 'src'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", STUDY, str(folder / "results")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_a_new_metric_is_measured_with_its_unit(shown: dict[str, Any]) -> None:
    assert shown["jaccard"] == pytest.approx(shown["dice"] / (2 - shown["dice"]))
    assert shown["unit"] == "1"


def test_failures_by_a_new_metric_follow_its_direction(
    shown: dict[str, Any],
) -> None:
    assert shown["median"] == shown["jaccard"]
    assert shown["worse_pairs"] == 1


def test_a_new_metric_has_its_title_in_the_report(shown: dict[str, Any]) -> None:
    assert "Jaccard index of the gland" in shown["plots"]
    assert "Jaccard index" in shown["meanings"]
