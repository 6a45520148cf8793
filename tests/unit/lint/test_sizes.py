"""Each measure of sizes and style, on a few lines whose figure is counted by hand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lint import sizes

FUNCTION = '''
def scale(self, a, b: int = 1, /, *rest: int, c, **more: int):
    """Scale."""
    first = a
    second: int = b

    return first
'''


def function(text: str = FUNCTION) -> sizes.Function:
    return next(sizes.functions(ast.parse(text)))


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (sizes.body_lines, 4),  # without signature and docstring, with the blank line
        (sizes.positional, 2),  # a and b
        (sizes.unannotated, 3),  # a, c and the result
        (sizes.asserts, 0),
    ],
)
def test_a_function_is_measured(measure: sizes.Measure, expected: int) -> None:
    assert measure(function()) == expected


def test_a_body_of_a_docstring_alone_has_no_line() -> None:
    assert sizes.body_lines(function('def f():\n    """Nothing."""\n')) == 0


def test_asserts_and_expected_errors_are_counted() -> None:
    text = "def f():\n    assert a\n    np.testing.assert_allclose(a, b)\n"
    assert sizes.asserts(function(text + "    with pytest.raises(E):\n        assert b\n")) == 4


def test_prints_are_calls_of_the_builtin() -> None:
    assert sizes.prints(ast.parse("print(1)\nf(print(2))\nx.print(3)\nprint = 4\n")) == 2


def test_modules_are_counted_once_however_they_are_imported(tmp_path: Path) -> None:
    (tmp_path / "tenter/losses").mkdir(parents=True)
    (tmp_path / "tenter/losses/dice.py").touch()
    text = (
        "import numpy\nimport tenter.losses.dice\nfrom tenter.losses import dice\n"
        "from tenter.losses.dice import energy, overlap\nfrom tenter.losses import build\n"
    )
    expected = {"tenter.losses.dice", "tenter.losses"}
    assert sizes.imported(ast.parse(text), tmp_path) == expected


def test_vague_names_are_counted_among_bindings() -> None:
    tree = ast.parse("found = image.found\nfor _said in rows:\n    mask = found\n")
    assert sizes.vague_share([tree]) == pytest.approx(2 / 3)


def test_a_rule_reaches_to_its_last_line_with_text() -> None:
    text = 'rule all:\n    input:\n        "x",\n\n\n'
    text += 'if a:\n    rule second:\n        input: "y"\n\nx = 1\n'
    assert list(sizes.rules(text)) == [("all", 3), ("second", 2)]


def test_percentiles_are_values_that_were_measured() -> None:
    assert [sizes.percentile([4, 1, 3, 2], share) for share in (0.5, 0.9, 1)] == [2, 4, 4]


def test_what_exceeds_a_bar_is_a_fault_unless_it_is_listed() -> None:
    survey = sizes.Survey()
    survey.add("lines of a stage", [("short.py", 120), ("long.py", 121), ("listed.py", 300)])
    outside = {"lines of a stage": {"listed.py": "a reason"}}
    assert sizes.judge(survey.excesses, outside) == ["long.py: lines of a stage: 121"]


def test_a_listed_place_within_its_bar_is_a_fault() -> None:
    lines = sizes.judge([], {"lines of a stage": {"short.py": "a reason"}})
    assert lines == [
        "short.py: lines of a stage: is within the bar now; delete its line of OUTSIDE"
    ]


@pytest.mark.parametrize(("share", "faults"), [(0.91, 0), (0.89, 1)])
def test_a_share_that_is_too_small_is_a_fault(share: float, faults: int) -> None:
    survey = sizes.Survey()
    survey.add_share("short bodies", share, 0.9, least=True)
    assert len(sizes.judge(survey.excesses, {})) == faults


def test_a_whole_repository_is_surveyed(tmp_path: Path) -> None:
    for name in ("src/tenter/stages", "tests", "workflow/rules"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "src/tenter/stages/fit.py").write_text("def fit() -> None:\n    print(1)\n")
    (tmp_path / "tests/test_fit.py").write_text(f"# {'x' * 99}\ndef test_fit():\n    assert 1\n")
    (tmp_path / "Snakefile").write_text("# a line\n" * 61)
    (tmp_path / "workflow/rules/fit.smk").write_text("rule fit:\n" + "    # y\n" * 30)
    assert sizes.judge(sizes.survey(tmp_path).excesses, {}) == [
        "src/tenter/stages/fit.py: calls of print: 1",
        "Snakefile: lines of the Snakefile: 61",
        "workflow/rules/fit.smk:fit: lines of a rule: 31",
        "tests/test_fit.py: lines over 100 columns: 1",
    ]
