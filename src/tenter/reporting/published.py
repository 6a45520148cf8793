"""The figures of summary.tsv and comparison.tsv under the names that they are published with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tenter import typed_tables
from tenter.result_files import ResultFiles
from tenter.statistics.lines import ALL, ComparisonLine, SummaryLine

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of a study, by the names that they are published with.

    Names are such as `test/landmark_tre_mm_median`. Differences from the reference are called
    `versus_reference/...`.

    Attributes:
        lines: of `summary.tsv`.
        contrasts: of `comparison.tsv`.
    """

    lines: tuple[SummaryLine, ...]
    contrasts: tuple[ComparisonLine, ...]

    def of_model(self, model: str) -> dict[str, float]:
        """A model's figures over all folds and all labels of a role."""
        named_figures = self._figures(model, ALL, COLUMNS | OF_ALL)
        for line in self.contrasts:
            if line.model == model:
                kind = "" if line.set == "cv" else f"_{SETS[line.set]}"
                known = _known(line)
                named_figures |= {
                    f"versus_reference{kind}/{_name(line)}_{suffix}": known[column]
                    for column, suffix in CONTRASTS.items()
                    if column in known
                }
        return named_figures

    def of_fold(self, model: str, fold: str) -> dict[str, float]:
        """A fold's figures over all labels of a role."""
        return self._figures(model, fold, COLUMNS)

    def reference(self, model: str) -> str | None:
        """The model that a model is compared with, or None."""
        return next((line.reference for line in self.contrasts if line.model == model), None)

    def _figures(
        self, model: str, fold: str, columns: Mapping[str, tuple[str, str]]
    ) -> dict[str, float]:
        chosen = [
            line for line in self.lines if (line.model, line.fold, line.label) == (model, fold, "")
        ]
        return dict(figure for line in chosen for figure in _named(line, columns))


def read(paths: ResultFiles) -> Figures:
    """Read the figures of a study.

    Raises:
        DataError: a table is damaged.
    """
    return Figures(
        lines=typed_tables.read(paths.summary, SummaryLine),
        contrasts=typed_tables.read(paths.comparison, ComparisonLine),
    )


def _named(
    line: SummaryLine, columns: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[str, float]]:
    known = _known(line)
    for column, (prefix, suffix) in columns.items():
        if column in known:
            group = "_".join(part for part in (prefix, SETS[line.set]) if part)
            yield f"{group}/{_name(line)}_{suffix}", known[column]


def _known(line: SummaryLine | ComparisonLine) -> dict[str, float]:
    """The numbers of a line by column, without those that are unknown."""
    values = typed_tables.values(line)
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def _name(line: SummaryLine | ComparisonLine) -> str:
    unit = UNITS.get(line.unit, f"_{line.unit}")
    return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{line.role}_{line.metric}{unit}")
