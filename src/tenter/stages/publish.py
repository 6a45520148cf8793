"""Mirror a study's finished models to MLflow, from their files; repeating it changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from tenter import addresses, files, finished, tracking
from tenter.config import Config, yaml_files
from tenter.errors import DataError
from tenter.history import read_history
from tenter.measurement import metric_tables
from tenter.metrics.definitions import STRICT, definition
from tenter.reporting import drawing, examples, headline, panels, published, statistics
from tenter.reporting.results import groups
from tenter.study import ALL, Study

_TABLES = ("metrics.tsv", "summary.tsv", "comparison.tsv")
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
    addresses.conceal(study.tracking_uri, os.environ)
    names = models or tuple(study.models)
    _require_finished(study, names)
    place = tracking.place_of(study)
    for name in names:
        text = tracking.publish(place, _result(study, name), rebuild)
        files.write_text(study.results / f"tracking/{name}.txt", text)
    return tracking.of_study(place, list(study.models)).rstrip("\n")


def _require_finished(study: Study, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in study.models]
    if unknown or not names:
        fault = f"has no model {unknown[0]!r}" if unknown else "trains no model"
        known = ", ".join(study.models) or "none"
        message = f"{study.path}: the study {fault}; those that can be published: {known}"
        raise DataError(message)
    required = [study.results / table for table in (*_TABLES, "report.html")]
    required += [
        folder / finished.DESCRIPTION for name in names for folder in _folders(study, name)
    ]
    missing = [path for path in required if not path.is_file()]
    if missing:
        suffix = f" and {len(missing) - 1} more are missing" if len(missing) > 1 else " is missing"
        message = (
            f"{missing[0]}{suffix}; finish the study first: "
            f"snakemake --profile profiles/local --configfile {study.path}"
        )
        raise DataError(message)


def _folders(study: Study, model: str) -> list[Path]:
    return [study.results / f"models/{model}/fold-{fold}" for fold in study.trained_folds(model)]


def _result(study: Study, model: str) -> tracking.ModelResult:
    summary, comparison = (study.results / name for name in ("summary.tsv", "comparison.tsv"))
    rows, contrasts = published.rows(summary), published.rows(comparison)
    lines = statistics.read_summary(summary)
    options = {
        name: tracking.OptionResult(
            figures=published.figures(rows, contrasts, name), summary=_sentences(lines, name)
        )
        for name in study.options_of(model)
    }
    return tracking.ModelResult(
        model=model,
        folds=[_fold(folder, rows, model) for folder in _folders(study, model)],
        figures=published.figures(rows, contrasts, model),
        artifacts=_artifacts(study, model),
        summary=_sentences(lines, model),
        reference=published.reference(contrasts, model),
        options=options,
    )


def _fold(folder: Path, rows: Sequence[published.Row], model: str) -> tracking.FoldResult:
    description = finished.describe(folder)
    history = folder / finished.HISTORY
    # The model of fold `all` registers no pair; the summary's `all` is the whole cross-validation.
    fold = str(description["fold"])
    end = int(history.stat().st_mtime * 1000)
    seconds = description.get("seconds")
    return tracking.FoldResult(
        description=description,
        history=read_history(history),
        figures={} if fold == ALL else published.fold_figures(rows, model, fold),
        artifacts=[
            folder / name for name in (finished.WEIGHTS, finished.DESCRIPTION, finished.HISTORY)
        ],
        span=None if seconds is None else (end - int(1000 * seconds), end),
    )


def _sentences(lines: Sequence[statistics.Line], model: str) -> str:
    """Return the sentences about the model that the report begins with."""
    kinds = [
        kind for kind in ("cv", "test") if any((x.model, x.set) == (model, kind) for x in lines)
    ]
    labels = {line.label for line in lines if line.role == "structure" and line.label}
    structure = labels.pop() if len(labels) == 1 else "structures"
    return " ".join(headline.summary(lines, model, kind, structure) for kind in kinds)


def _artifacts(study: Study, model: str) -> dict[str, Path | str]:
    """Return the files to upload, by their path among the run's artifacts."""
    root = study.results
    artifacts: dict[str, Path | str] = {"report.html": root / "report.html"}
    artifacts |= {f"tables/{name}": root / name for name in _TABLES}
    cohort = (root / f"cohort/{name}" for name in ("plan.json", "folds.tsv"))
    artifacts |= {f"study/{path.name}": path for path in cohort if path.is_file()}
    artifacts["study/configuration.yaml"] = _configuration(study.config)
    return artifacts | dict(_pictures(study, model))


def _configuration(config: Config) -> str:
    """Return the configuration with all defaults, without logins and folders of this machine."""
    value = config.model_dump(mode="python")
    plain = addresses.masked_values(_portable(value))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def _portable(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _portable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(entry) for entry in value]
    if isinstance(value, Path):
        return value.name if value.is_absolute() else str(value)
    return value


def _pictures(study: Study, model: str) -> Iterator[tuple[str, str]]:
    """Draw the best, the median and the worst pair, at most as many as the report shows."""
    count = min(_PICTURES, study.config.report.examples)
    rows = [row for row in metric_tables.read(study.results / "metrics.tsv") if row.model == model]
    model_groups = groups([row for row in rows if definition(row.metric).family == STRICT], [model])
    for example in (
        examples.choose([group for group in model_groups if group.set == "cv"], count)
        if count
        else ()
    ):
        case = study.results / f"cases/{example.pair}"
        transform = study.results / f"fields/{model}/{example.pair}/transform.h5"
        try:
            scene = examples.scene(case, transform)
        except (DataError, OSError):
            continue  # the report says that the picture is missing, and why
        title = f"{example.place.capitalize()} pair of model {model}: {example.pair}"
        yield (
            f"pictures/{example.place.replace(' ', '-')}.svg",
            drawing.standalone(panels.panel(scene, title, "panel")),
        )
