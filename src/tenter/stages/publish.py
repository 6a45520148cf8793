"""Mirror a study's finished models to MLflow, from their files; repeating it changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

from tenter import addresses, files, tracking
from tenter.config import yaml_files
from tenter.records import FINAL
from tenter.reporting import headline, pictures, published
from tenter.reporting.published import Figures
from tenter.result_files import ResultFiles
from tenter.study import Study

_PICTURES = 3


def publish(
    config: Path,
    /,
    *,
    models: tuple[str, ...] = (),
    content: str = "",
    rebuild: int | None = None,
) -> str:
    """Mirror a finished study to MLflow: one run per model, and a child run for each of its folds.

    The run of a model holds its metrics and files. Each test-time option of a model has a child run
    of its own, with its metrics. Everything is taken from the study's files: if the database was
    deleted, it is written again.

    Args:
        config: Configuration file (YAML) of a finished study.
        models: Models to publish; default: all models of the study.
        content: JSON object of top-level keys that replace those of the configuration.
        rebuild: How often missing runs have been created again; the workflow counts this.

    Returns:
        How to view the runs; for each model this text is also kept as `tracking/<model>.txt`.

    Raises:
        DataError: a model is not finished, or a table is damaged.
        InputError: the configuration is faulty.
        TrackingError: the server cannot be reached, or refuses.
    """
    study = Study.load(config, yaml_files.read_with(config, content))
    addresses.conceal(study.tracking.uri, os.environ)
    names = models or tuple(study.models)
    tracking.require_finished(study, names)
    place = tracking.place_of(study)
    for name in names:
        text = tracking.publish(place, _result(study, name), rebuild)
        files.write_text(study.results / f"tracking/{name}.txt", text)
    return tracking.of_study(place, list(study.models)).rstrip("\n")


def _result(study: Study, model: str) -> tracking.ModelResult:
    paths = ResultFiles.of(study.results)
    figures = published.read(paths)
    return tracking.ModelResult(
        model=model,
        folds=[_fold(paths, figures, model, fold) for fold in study.trained_folds(model)],
        figures=figures.of_model(model),
        artifacts=tracking.artifacts(study) | _pictures(study, paths, model),
        summary=headline.sentences(figures.lines, model),
        reference=figures.reference(model),
        options={
            option: tracking.OptionResult(
                figures=figures.of_model(option), summary=headline.sentences(figures.lines, option)
            )
            for option in study.options_of(model)
        },
    )


def _fold(paths: ResultFiles, figures: Figures, model: str, fold: str) -> tracking.FoldResult:
    # The final model registers no pair; the summary's `all` is the whole cross-validation.
    of_fold = {} if fold == FINAL else figures.of_fold(model, fold)
    return tracking.fold_result(paths.trained(model, fold), of_fold)


def _pictures(study: Study, paths: ResultFiles, model: str) -> dict[str, str]:
    """Draw the best, the median and the worst pair, at most as many as the report shows."""
    count = min(_PICTURES, study.config.report.examples)
    return {f"pictures/{name}": svg for name, svg in pictures.files(model, count, paths)}
