"""Measure the sizes and style of the source, tests and workflow; fail on what exceeds its bar.

    python tests/lint/sizes.py

Prints a table of all measures, then each file, function or rule beyond a bar. What is outside
today stands in `OUTSIDE` with its reason; an entry that is no longer needed fails, too.
"""

from __future__ import annotations

import argparse
import ast
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

BARS = {
    "lines of a file": 400,
    "lines of a function's body": 50,
    "positional parameters": 5,
    "parameters or results without annotation": 0,
    "calls of print": 0,
    "imports of tenter inside a function": 0,
    "lines over 100 columns": 0,
    "lines of a stage": 120,
    "modules that a stage imports": 10,
    "lines of the Snakefile": 60,
    "lines of an .smk file": 150,
    "lines of a rule": 30,
}
"""Measures of one place each, with the largest value that passes."""

COLUMNS = 100
SHORT_BODY, SHORT_SHARE = 25, 0.90
"""At least this share of bodies has at most this many lines."""

VAGUE_SHARE = 0.01
"""Of all bindings, how many may have a name of `VAGUE`."""

TEST_LINES = 15
"""Nine of ten tests have at most this many lines."""

TESTS_TO_SOURCE = 1.0
"""At least as many lines of tests as of source."""

VAGUE = frozenset(
    """
    again found given head here item items kept less line_ made more now one other others ours own
    place places rest said shown some taken theirs then there thing things told wanted what who
    whole word words wrong
    """.split()  # noqa: SIM905 - one paragraph is read more easily than forty strings
)
"""Names that do not say what the thing is."""

WITHOUT_TORCH = "torch is loaded only where the axes are not parallel: its import takes seconds"
REGISTRY = "a registry: what a network registers with is imported when it is asked for"

OUTSIDE: dict[str, dict[str, str]] = {
    "imports of tenter inside a function": {
        "src/tenter/cases/resampling.py:on_grid": WITHOUT_TORCH,
        "src/tenter/networks/__init__.py:on_grid": REGISTRY,
    },
}
"""Measure to places that exceed its bar today, with the reason: to become shorter only."""


@dataclass(frozen=True)
class Excess:
    """A place that exceeds the bar of a measure.

    Attributes:
        measure: one of `BARS`, or a share.
        place: file, or file and function or rule.
        value: of the measure.
    """

    measure: str
    place: str
    value: float

    def __str__(self) -> str:
        """One line."""
        return f"{self.place}: {self.measure}: {self.value:g}"


@dataclass
class Survey:
    """Rows of the table, and what exceeds a bar."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    excesses: list[Excess] = field(default_factory=list)

    def add(self, measure: str, values: Sequence[tuple[str, int]]) -> None:
        """Record a measure of many places: distribution and places beyond the bar."""
        bar = BARS[measure]
        figures = [value for _, value in values]
        spread = "{} / {} / {}".format(*(percentile(figures, share) for share in (0.5, 0.9, 1)))
        self.rows.append((measure, f"{spread}  (of {len(figures)})", f"<= {bar}"))
        self.excesses += [Excess(measure, place, value) for place, value in values if value > bar]

    def add_share(self, measure: str, figure: float, bar: float, *, least: bool = False) -> None:
        """Record one figure of the whole code."""
        self.rows.append((measure, f"{figure:.3g}", f"{'>=' if least else '<='} {bar:g}"))
        if (figure < bar) if least else (figure > bar):
            self.excesses.append(Excess(measure, "in all", figure))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; 0 of none."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else 0


Function = ast.FunctionDef | ast.AsyncFunctionDef
Measure = Callable[[Function], int]


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the last."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    if not statements:
        return 0
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1


def positional(function: Function) -> int:
    """Parameters that can be given by position, `self` and `cls` apart."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def unannotated(function: Function) -> int:
    """Parameters, `self` and `cls` apart, and results without annotation."""
    spec = function.args
    parameters = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    parameters += [argument for argument in (spec.vararg, spec.kwarg) if argument]
    bare = [a for a in parameters if a.annotation is None and a.arg not in {"self", "cls"}]
    return len(bare) + (function.returns is None)


def prints(tree: ast.AST) -> int:
    """Calls of print."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return sum(isinstance(called, ast.Name) and called.id == "print" for called in calls)


def imported(node: ast.AST, source: Path) -> set[str]:
    """The modules of tenter that the statements below a node import."""
    modules: set[str] = set()
    for statement in ast.walk(node):
        if isinstance(statement, ast.Import):
            modules |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            modules |= {
                f"{statement.module}.{alias.name}"
                if _is_module(f"{statement.module}.{alias.name}", source)
                else statement.module
                for alias in statement.names
            }
    return {name for name in modules if name.partition(".")[0] == "tenter"}


def _is_module(name: str, source: Path) -> bool:
    path = source.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def bindings(tree: ast.AST) -> Iterator[str]:
    """Names that are assigned to, or are parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def vague_share(trees: Iterable[ast.AST]) -> float:
    """The share of bindings with a vague name."""
    names = [name.strip("_") for tree in trees for name in bindings(tree)]
    return sum(name in VAGUE for name in names) / max(len(names), 1)


def rules(text: str) -> Iterator[tuple[str, int]]:
    """Rules of a Snakefile with their lines, from `rule` to the last line that is not blank."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        match = re.match(r"( *)(?:rule|checkpoint) (\w*) *:", line)
        if not match:
            continue
        last = start
        for index in range(start + 1, len(lines)):
            if lines[index].strip() and not lines[index].startswith(f"{match[1]} "):
                break
            last = index if lines[index].strip() else last
        yield match[2], last - start + 1


def asserts(test: Function) -> int:
    """Asserts of a test, `pytest.raises` and the like counted as one each."""
    called = [node.func for node in ast.walk(test) if isinstance(node, ast.Call)]
    names = [function.attr for function in called if isinstance(function, ast.Attribute)]
    return sum(isinstance(node, ast.Assert) for node in ast.walk(test)) + sum(
        re.match(r"raises|warns|assert_", name) is not None for name in names
    )


def survey(root: Path) -> Survey:
    """Measure the repository at `root`."""
    result = Survey()
    source = _parsed(root, "src/tenter")
    tests = _parsed(root, "tests")
    _survey_source(result, source, root / "src")
    _survey_stages(result, source, root / "src")
    _survey_workflow(result, root)
    _survey_tests(result, tests, source)
    return result


@dataclass(frozen=True)
class Module:
    """A Python file: its path from the root, text and syntax tree."""

    name: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Number of lines."""
        return len(self.text.splitlines())

    @property
    def wide_lines(self) -> int:
        """Number of lines over 100 columns."""
        return sum(len(line) > COLUMNS for line in self.text.splitlines())

    def each(self, measure: Measure) -> list[tuple[str, int]]:
        """A measure of each function."""
        return [(f"{self.name}:{item.name}", measure(item)) for item in functions(self.tree)]


def _parsed(root: Path, folder: str) -> list[Module]:
    paths = sorted((root / folder).rglob("*.py"))
    texts = [(path.relative_to(root).as_posix(), path.read_text("utf-8")) for path in paths]
    return [Module(name, text, ast.parse(text)) for name, text in texts]


def _survey_source(result: Survey, modules: Sequence[Module], source: Path) -> None:
    result.add("lines of a file", [(module.name, module.lines) for module in modules])
    bodies = [pair for module in modules for pair in module.each(body_lines)]
    result.add("lines of a function's body", bodies)
    short = sum(lines <= SHORT_BODY for _, lines in bodies) / max(len(bodies), 1)
    result.add_share(f"bodies of at most {SHORT_BODY} lines", short, SHORT_SHARE, least=True)
    for measure, count in (
        ("positional parameters", positional),
        ("parameters or results without annotation", unannotated),
        ("imports of tenter inside a function", lambda item: len(imported(item, source))),
    ):
        result.add(measure, [pair for module in modules for pair in module.each(count)])
    result.add("calls of print", [(module.name, prints(module.tree)) for module in modules])
    vague = vague_share(module.tree for module in modules)
    result.add_share("bindings with vague names, source", vague, VAGUE_SHARE)


def _survey_stages(result: Survey, modules: Sequence[Module], source: Path) -> None:
    stages = [module for module in modules if module.name.startswith("src/tenter/stages/")]
    result.add("lines of a stage", [(module.name, module.lines) for module in stages])
    fan_out = [(module.name, len(imported(module.tree, source))) for module in stages]
    result.add("modules that a stage imports", fan_out)


def _survey_workflow(result: Survey, root: Path) -> None:
    files = sorted((root / "workflow").rglob("*.smk"))
    texts = {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in files}
    main = (root / "Snakefile").read_text("utf-8")
    result.add("lines of the Snakefile", [("Snakefile", len(main.splitlines()))])
    result.add("lines of an .smk file", [(n, len(text.splitlines())) for n, text in texts.items()])
    texts["Snakefile"] = main
    named = [(f"{n}:{rule}", size) for n, text in texts.items() for rule, size in rules(text)]
    result.add("lines of a rule", named)


def _survey_tests(result: Survey, tests: Sequence[Module], source: Sequence[Module]) -> None:
    wide = [(module.name, module.wide_lines) for module in (*source, *tests)]
    result.add("lines over 100 columns", wide)
    ratio = sum(module.lines for module in tests) / sum(module.lines for module in source)
    result.add_share("lines of tests to lines of source", ratio, TESTS_TO_SOURCE, least=True)
    cases = [f for module in tests for f in functions(module.tree) if f.name.startswith("test_")]
    lines = [body_lines(case) for case in cases]
    result.add_share("lines of a test, nine of ten", percentile(lines, 0.9), TEST_LINES)
    counts = [asserts(case) for case in cases]
    spread = "{} / {} / {}".format(*(percentile(counts, share) for share in (0.5, 0.9, 1)))
    result.rows.append(("asserts of a test", f"{spread}  (of {len(cases)})", ""))
    vague = vague_share(module.tree for module in tests)
    result.rows.append(("bindings with vague names, tests", f"{vague:.3g}", ""))


def table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    head = ("measure", "p50 / p90 / max, or share", "bar")
    widths = [max(width, len(title)) for width, title in zip(widths, head, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def judge(excesses: Sequence[Excess], outside: Mapping[str, Mapping[str, str]]) -> list[str]:
    """One line for each excess without an entry, and for each entry without an excess."""
    exceeding = {(excess.measure, excess.place) for excess in excesses}
    listed = {(measure, place) for measure, places in outside.items() for place in places}
    lines = [str(excess) for excess in excesses if (excess.measure, excess.place) not in listed]
    return lines + [
        f"{place}: {measure}: is within the bar now; delete its line of OUTSIDE"
        for measure, place in sorted(listed - exceeding)
    ]


def main() -> int:
    """Print the table; fail on what exceeds a bar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quiet", action="store_true", help="print faults only")
    chosen = parser.parse_args()
    result = survey(ROOT)
    faults = judge(result.excesses, OUTSIDE)
    if not chosen.quiet:
        sys.stdout.write(f"{table(result.rows)}\n")
        listed = sum(map(len, OUTSIDE.values()))
        sys.stdout.write(f"{listed} places exceed a bar with a reason: see OUTSIDE\n")
    sys.stderr.write("".join(f"{line}\n" for line in faults))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
