"""Write the report: one self-contained HTML page with the results of a study."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tenter import files
from tenter.config import ReportSettings
from tenter.metrics.definitions import including
from tenter.provenance import ACCEPTED
from tenter.reporting import tables
from tenter.reporting.composition import compose
from tenter.reporting.origins import Origin
from tenter.reporting.page import render
from tenter.result_files import ResultFiles


def report(  # noqa: PLR0913 - flags of a command
    *,
    metrics: Path,
    summary: Path,
    comparison: Path,
    challenges: Path,
    plan: Path,
    results: Path,
    folds: Path | None = None,
    provenance: Path | None = None,
    settings: ReportSettings,
    code: str,
    output: Path,
) -> None:
    """Write the report of a study: results, plots, pictures and their provenance.

    Pictures need the prepared case and the transform of the pairs that are shown; if one
    of them is missing, the page says so in place of the picture.

    Args:
        metrics: Table of all metrics.
        summary: Table of distributions.
        comparison: Table of models against the reference.
        challenges: Table of the cohort's results by the rules of challenges.
        plan: Plan of the cohort.
        results: Folder of the study's results, with prepared cases, transforms and trained models.
        folds: Table of patients and folds; omitted if a finished model was applied.
        provenance: File of accepted code changes; default: the file that the environment
            variable TENTER_ACCEPTED names.
        settings: What the report shows (JSON).
        code: Fingerprint of this stage's code.
        output: HTML page to write.

    Raises:
        DataError: a table is damaged.
    """
    paths = replace(
        ResultFiles.of(results),
        metrics=metrics,
        summary=summary,
        comparison=comparison,
        challenges=challenges,
        plan=plan,
        folds=folds,
        report=output,
    )
    origin = Origin(
        code=code,
        settings=files.digest(settings.model_dump(mode="json")),
        accepted=provenance or _accepted(),
        folder=output.parent,
    )
    with including(settings.shown_metrics):
        page = compose(tables.read(paths, settings.models), settings, paths, origin)
    files.write_text(output, render(page))


def _accepted() -> Path | None:
    path = os.environ.get(ACCEPTED)
    return Path(path) if path else None
