from __future__ import annotations

import math

import pytest

from builders import finished_study
from tenter.metrics.definitions import STRICT, of_family
from tenter.records import MetricRow, Plan
from tenter.reporting import histories, listings, results, sections

PLAN = Plan((47, 63, 44), (1.5, 1.5, 3.0), "zscore", "centre")
TRE, DICE = ("cyst", "landmark", "tre", "mm"), ("gland", "structure", "dice", "1")


def head(pair: int, model: str = "local") -> tuple[str, str, str, str, str]:
    return (model, str(pair % 2), "cv", f"pair{pair}", f"patient{pair}")


def groups(*rows: MetricRow) -> tuple[results.Group, ...]:
    return results.groups(rows, ("local", "unet"))


def test_the_cohort_says_grid_spacing_alignment_and_folds() -> None:
    rows = [finished_study.row(head(pair), DICE, 0.5, 0.8) for pair in range(4)]
    folds = {f"patient{pair}": str(pair % 2) for pair in range(4)}
    table = sections.cohort(rows, PLAN, folds, ("local",)).blocks[0].tables[0]
    facts = {row[0]: row[1] for row in table.rows}
    times = "\N{MULTIPLICATION SIGN}"
    assert facts["Image pairs measured"] == "4 cross-validated"
    assert (
        facts["Folds, split by patient"]
        == "fold 0: 2 patients, 2 pairs; fold 1: 2 patients, 2 pairs"
    )
    assert facts["Common grid"].startswith(
        f"47 {times} 63 {times} 44 voxels of 1.50 {times} 1.50 {times} 3.00 mm"
    )
    assert facts["Alignment before any network"] == "volume centre on volume centre"


def test_labels_on_one_side_only_are_counted() -> None:
    absent = MetricRow(
        model="local", fold="0", set="cv", pair="pair9", patient="p", label="gland",
        role="structure", metric="dice", unit="1", before=None, after=None, note="absent in moving",
    )  # fmt: skip
    rows = [finished_study.row(head(1), DICE, 0.5, 0.8), absent]
    assert sections.cohort(rows, PLAN, {}, ("local",)).blocks[0].tables[1].rows == (
        ("gland", "structure", "1", "1"),
    )


def test_vanished_labels_are_listed_once_with_every_model() -> None:
    found = groups(
        finished_study.row(head(1), TRE, 9.0, math.inf),
        finished_study.row(head(1, "unet"), TRE, 9.0, math.inf),
    )
    assert listings.lost(found).rows == (
        ("pair1", "patient1", "1", "cyst", "9.0\N{NO-BREAK SPACE}mm", "local, unet"),
    )


def test_pairs_that_got_worse_are_listed_worst_first() -> None:
    rows = [
        finished_study.row(head(pair), DICE, 0.8, after)
        for pair, after in enumerate((0.75, 0.9, 0.3))
    ]
    assert [row[0] for row in listings.worsened(groups(*rows)).rows] == ["pair2", "pair0"]


def test_where_nothing_failed_the_section_says_so() -> None:
    section = sections.failures(groups(finished_study.row(head(1), DICE, 0.5, 0.8)))
    assert section is not None
    assert section.text == "Pairs that got worse: none. Labels that vanished: none."


def test_figures_of_the_field_alone_make_no_distributions() -> None:
    only = groups(finished_study.row(head(1), ("", "field", "folding", "%"), 0.0, 0.1))
    assert sections.distributions(only, ("local",)) is None
    assert sections.failures(only) is None
    assert sections.deformation(only, ("local",)) is not None


@pytest.mark.parametrize(
    ("models", "titles"),
    [(("local",), ["Dice of the gland"]), (("local", "unet"), ["Model local", "Model unet"])],
)
def test_plots_are_named_by_metric_or_by_model(models: tuple[str, ...], titles: list[str]) -> None:
    rows = [finished_study.row(head(1, model), DICE, 0.5, 0.8) for model in models]
    section = sections.distributions(results.groups(rows, models), models)
    assert section is not None
    assert [figure.title for figure in section.blocks[0].figures] == titles


def test_every_metric_that_is_measured_is_defined() -> None:
    names = [metric.name for metric in of_family(STRICT)]
    assert len(listings.meanings(names).rows) == len(names)


def test_curves_leave_out_what_was_not_recorded() -> None:
    rows = [{"step": 1.0, "loss": 0.9}, {"step": 2.0, "loss": 0.8, "val_dice": 0.5}]
    curves = histories.panels({"0": rows})
    assert [(curve.title, curve.folds["0"]) for curve in curves] == [
        ("Training loss", ([1.0, 2.0], [0.9, 0.8])),
        ("Dice of validation patients", ([2.0], [0.5])),
    ]
