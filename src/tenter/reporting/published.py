"""The figures of summary.tsv and comparison.tsv under the names that they are published with.

Columns are looked up by name; a missing column is left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenter.reporting import statistics
from tenter.reporting.statistics import Line
from tenter.result_files import ResultFiles

ALL = "all"

COLUMNS = {
    "before_median": ("baseline", "median"),
    "after_median": ("", "median"),
    "after_p10": ("", "p10"),
    "after_p90": ("", "p90"),
    "worse_rate": ("", "worse_rate"),
    "vanished": ("", "vanished"),
}
"""Columns of the summary, with the prefix of the group and the suffix of the metric."""

OF_ALL = {
    "after_low": ("", "median_low"),
    "after_high": ("", "median_high"),
    "n": ("", "n"),
    "patients": ("", "patients"),
}
"""Further columns for all folds together: interval of the median, number of labels and patients."""

CONTRASTS = {
    "difference": "difference",
    "low": "difference_low",
    "high": "difference_high",
    "p_holm": "p_holm",
}
"""Columns of the comparison with the reference, with the suffix of the metric."""

SETS = {"cv": "test", "test": "testset"}
"""Names of the sets of pairs not trained on: by cross-validation, and the test set."""

UNITS = {"1": "", "%": "_pct"}

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of a study, by the names that they are published with.

    Names are such as `test/landmark_tre_mm_median`. Differences from the reference are called
    `versus_reference/...`.

    Attributes:
        lines: of `summary.tsv`, as records.
        summary: the same lines, by column.
        comparison: lines of `comparison.tsv`, by column.
    """

    lines: tuple[Line, ...]
    summary: Sequence[Row]
    comparison: Sequence[Row]

    def of_model(self, model: str) -> dict[str, float]:
        """A model's figures over all folds and all labels of a role."""
        named_figures = _figures(self.summary, model, ALL, COLUMNS | OF_ALL)
        for row in self.comparison:
            if row["model"] == model:
                kind = "" if row["set"] == "cv" else f"_{SETS[row['set']]}"
                columns = {name: suffix for name, suffix in CONTRASTS.items() if row.get(name)}
                named_figures |= {
                    f"versus_reference{kind}/{_name(row)}_{suffix}": float(row[name])
                    for name, suffix in columns.items()
                }
        return named_figures

    def of_fold(self, model: str, fold: str) -> dict[str, float]:
        """A fold's figures over all labels of a role."""
        return _figures(self.summary, model, fold, COLUMNS)

    def reference(self, model: str) -> str | None:
        """The model that a model is compared with, or None."""
        return next((row["reference"] for row in self.comparison if row["model"] == model), None)


def read(paths: ResultFiles) -> Figures:
    """Read the figures of a study.

    Raises:
        DataError: a table is damaged.
    """
    return Figures(
        lines=statistics.read_summary(paths.summary),
        summary=_rows(paths.summary),
        comparison=_rows(paths.comparison),
    )


def _rows(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def _figures(
    summary: Sequence[Row], model: str, fold: str, columns: Mapping[str, tuple[str, str]]
) -> dict[str, float]:
    chosen = [
        row for row in summary if (row["model"], row["fold"], row["label"]) == (model, fold, "")
    ]
    return dict(figure for row in chosen for figure in _named(row, columns))


def _named(row: Row, columns: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, float]]:
    for column, (prefix, suffix) in columns.items():
        if row.get(column):
            group = "_".join(part for part in (prefix, SETS[row["set"]]) if part)
            yield f"{group}/{_name(row)}_{suffix}", float(row[column])


def _name(row: Row) -> str:
    unit = UNITS.get(row["unit"], f"_{row['unit']}")
    return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{row['role']}_{row['metric']}{unit}")
