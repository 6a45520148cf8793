"""The files that a study writes and its headline figures: write them down, and compare a study.

    make demo
    python tests/golden/expected.py write results/demo tests/golden/demo.json
    python tests/golden/expected.py compare results/demo tests/golden/demo.json

`demo.json` is the study of `make demo`, which `make soak` runs and compares. `trial.json` is the
small study that `make check` runs whole (tests/workflow): the same files, and its own figures.

Files are patterns: models, folds, chunks, pairs, steps and runs of MLflow are in braces. Figures
are medians over the cross-validated pairs. The JSON file's `tolerances` are the largest differences
of a figure, by metric; `write` keeps those of the file that it replaces. They are at least twice
what another processor changes, as training adds up differences of rounding. To try it:
`DNNL_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=default make demo`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HEADLINES = (
    ("structure", "dice"),
    ("structure", "tre"),
    ("landmark", "tre"),
    ("points", "point_tre"),
    ("field", "sd_log_jacobian"),
)
"""Role and metric of the figures."""

WILDCARDS = (
    (r"^\d+(?:x\d+)?-\d+(?=\.|$)", "{chunk}"),
    (r"^fold-\w+(?=\.|$)", "fold-{fold}"),
    (r"^step-\d+(?=\.)", "step-{step}"),
    (r"^[0-9a-f]{32}$", "{run}"),
)
"""What stands in braces in a pattern, beside the names of models and pairs."""

Expectation = dict[str, Any]


def expectation(results: Path) -> Expectation:
    """The patterns of all files of a finished study, and its headline figures."""
    return {"files": sorted(set(patterns(results))), "figures": figures(results / "summary.tsv")}


def patterns(results: Path) -> Iterator[str]:
    """Each file below a folder of results, names that depend on the cohort in braces."""
    names = {"{model}": results / "models", "{pair}": results / "cases"}
    known = [
        (rf"^{re.escape(folder.name)}(?=\.|$)", wildcard)
        for wildcard, parent in names.items()
        for folder in parent.iterdir()
        if folder.name != "tables"
    ]
    for path in results.rglob("*"):
        if path.is_file():
            parts = path.relative_to(results).parts
            yield "/".join(_pattern(part, (*known, *WILDCARDS)) for part in parts)


def _pattern(name: str, wildcards: tuple[tuple[str, str], ...]) -> str:
    for pattern, wildcard in wildcards:
        name = re.sub(pattern, wildcard, name)
    return name


def figures(summary: Path) -> dict[str, dict[str, float]]:
    """Medians before and after registration by `<model> <role> <metric>`."""
    with summary.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if _is_headline(row)]
    return {
        f"{row['model']} {row['role']} {row['metric']}": {
            when: round(float(row[f"{when}_median"]), 6) for when in ("before", "after")
        }
        for row in rows
    }


def _is_headline(row: Mapping[str, str]) -> bool:
    pooled = (row["set"], row["fold"], row["label"]) == ("cv", "all", "")
    return pooled and (row["role"], row["metric"]) in HEADLINES


def differences(expected: Expectation, actual: Expectation) -> list[str]:
    """One line for each file that is missing or new, and for each figure beyond its tolerance."""
    before, after = set(expected["files"]), set(actual["files"])
    lines = [f"missing file: {name}" for name in sorted(before - after)]
    lines += [f"new file: {name}" for name in sorted(after - before)]
    for name in sorted(expected["figures"].keys() | actual["figures"].keys()):
        pair = (expected["figures"].get(name), actual["figures"].get(name))
        lines += _changed(name, *pair, expected["tolerances"][name.split()[-1]])
    return lines


def _changed(
    name: str, expected: dict[str, float] | None, actual: dict[str, float] | None, tolerance: float
) -> Iterator[str]:
    if expected is None or actual is None:
        yield f"{'new' if expected is None else 'missing'} figure: {name}"
        return
    for when in ("before", "after"):
        if not abs(actual[when] - expected[when]) <= tolerance:
            yield f"{name} {when}: {actual[when]:g}, expected {expected[when]:g} ± {tolerance:g}"


def read(path: Path) -> Expectation:
    """An expectation that was written."""
    content: Expectation = json.loads(path.read_text(encoding="utf-8"))
    return content


def write(path: Path, content: Expectation) -> None:
    """Write an expectation, one file or figure a line."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Write down what a study produced, or compare it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=("write", "compare"))
    parser.add_argument(
        "results", type=Path, help="folder of a finished study, or a JSON file of it"
    )
    parser.add_argument("expected", type=Path, help="JSON file with `tolerances`")
    chosen = parser.parse_args()
    actual = read(chosen.results) if chosen.results.is_file() else expectation(chosen.results)
    known = read(chosen.expected)
    if chosen.command == "write":
        write(chosen.expected, actual | {"tolerances": known["tolerances"]})
        return 0
    lines = differences(known, actual)
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "as expected\n")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
