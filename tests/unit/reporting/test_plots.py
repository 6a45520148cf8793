from __future__ import annotations

import math

import pytest

from builders import finished_study
from tenter.reporting import plots, results

HEAD = ("local", "0", "cv", "pair000", "patient00")
TRE = ("cyst", "landmark", "tre", "mm")
PURPLE, ORANGE, BLUE = "#8f2f77", "#d55e00", "#0072b2"


def group(*figures: tuple[float, float]) -> results.Group:
    rows = [finished_study.row(HEAD, TRE, float(before), float(after)) for before, after in figures]
    return results.Group("local", "cv", "landmark", "tre", tuple(rows))


def marks(drawing: str, colour: str) -> int:
    """Points of a colour: each is one use of a marker."""
    return sum("<use" in line and f"fill: {colour}" in line for line in drawing.splitlines())


def crosses(drawing: str) -> int:
    return sum("<use" in line and f"stroke: {PURPLE}" in line for line in drawing.splitlines())


def draw(*figures: tuple[float, float]) -> str:
    some = group(*figures)
    return str(plots.before_after(some, plots.scale([some]), "plot"))


def test_every_figure_is_a_point() -> None:
    drawn = draw((9, 3), (8, 2), (3, 5), (7, math.inf))
    assert (marks(drawn, BLUE), marks(drawn, ORANGE), crosses(drawn)) == (2, 1, 1)


def test_vanished_labels_stand_on_a_rail_beyond_the_worst_figure() -> None:
    axis = plots.scale([group((9, 3), (8, math.inf))])
    assert axis.rail is not None
    assert axis.rail > axis.high >= 9
    assert axis.place(math.inf) == axis.rail


def test_the_rail_says_how_many_vanished() -> None:
    assert "vanished: 2" in draw((9, math.inf), (8, math.inf), (4, 2))


def test_without_vanished_labels_there_is_no_rail() -> None:
    assert plots.scale([group((9, 3))]).rail is None
    assert "vanished" not in draw((9, 3))


def test_medians_are_written_beside_the_boxes() -> None:
    drawn = draw((9, 3), (8, 2), (7, 1))
    assert ">8.0<" in drawn
    assert ">2.0<" in drawn


def test_the_text_alternative_says_medians_and_failures() -> None:
    drawn = draw((9, 3), (8, math.inf), (3, 5))
    assert "median 8.0\N{NO-BREAK SPACE}mm before and 5.0\N{NO-BREAK SPACE}mm after" in drawn
    assert "2 worse than before, 1 vanished" in drawn


def test_dense_groups_become_pixels_so_that_the_page_stays_small() -> None:
    drawn = draw(*[(9.0, 3.0 + index % 7) for index in range(plots.DENSE + 1)])
    assert "data:image/png;base64" in drawn
    assert len(drawn) < 400_000


def test_strips_show_every_pair_of_every_model() -> None:
    rows = [
        finished_study.row(HEAD, ("", "field", "folding", "%"), 0.0, value)
        for value in (0.0, 0.1, 0.4)
    ]
    groups = [
        results.Group(model, "cv", "field", "folding", tuple(rows)) for model in ("local", "unet")
    ]
    drawn = str(plots.strips(groups, "strip"))
    assert marks(drawn, BLUE) == 6


def test_curves_have_a_line_and_a_name_for_each_fold() -> None:
    folds = {str(fold): ([0.0, 100.0], [1.0, 0.5]) for fold in range(3)}
    drawn = str(plots.curves([plots.Curve("Training loss", folds)], "curves", "curve"))
    assert [f"fold {fold}" in drawn for fold in range(3)] == [True] * 3


@pytest.mark.parametrize("count", [1, 3, 40])
def test_curves_are_drawn_for_any_number_of_folds(count: int) -> None:
    folds = {str(fold): ([0.0, 1.0], [1.0, 0.0]) for fold in range(count)}
    assert "fold 0" in str(
        plots.curves([plots.Curve("Loss", folds, noisy=True)], "curves", "curve")
    )
