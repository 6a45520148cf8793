"""The report as a whole: which sections it has, and in which order they are read."""

from __future__ import annotations

from tenter.config import ReportSettings
from tenter.reporting import (
    challenges,
    costs,
    headline,
    histories,
    opening,
    origins,
    pictures,
    sections,
)
from tenter.reporting.origins import Origin
from tenter.reporting.page import Page, Section
from tenter.reporting.tables import Tables
from tenter.result_files import ResultFiles

COLOPHON = "Written by tenter. All values are in metrics.tsv and summary.tsv beside this page."


def compose(tables: Tables, settings: ReportSettings, paths: ResultFiles, origin: Origin) -> Page:
    """Compose the page of a study; only pictures and origins are still read from files.

    Args:
        tables: results of the study.
        settings: what the report shows.
        paths: files of the study.
        origin: code, settings and folder of the report.
    """
    kinds, first = opening.kinds(tables.rows), next(iter(tables.models), "")
    return Page(
        title=settings.report.title or settings.study,
        subtitle=opening.subtitle(settings.study, tables.rows),
        summary=opening.summary(tables, settings.baselines),
        cautions=(*opening.cautions(tables, settings.baselines), *_training_warnings(tables)),
        cards_of=f"Medians before and after, model {first}" if first else "",
        cards=headline.cards(tables.lines, first, kinds[0], opening.structure(tables.rows))
        if kinds
        else (),
        sections=_sections(tables, settings, paths, origin),
        colophon=COLOPHON,
    )


def _sections(
    tables: Tables, settings: ReportSettings, paths: ResultFiles, origin: Origin
) -> tuple[Section, ...]:
    """The sections in reading order; those that have nothing to show are left out."""
    models = tables.models
    ordered = (
        sections.cohort(tables.rows, tables.plan, tables.folds or {}, models),
        sections.comparison(tables.lines, tables.contrasts, models),
        costs.section(tables.costs, tables.lines, dict(settings.options), sections.KINDS),
        sections.distributions(tables.groups, models),
        pictures.section(tables.groups, settings, paths),
        sections.details(tables.lines, models),
        sections.failures(tables.groups),
        sections.deformation(tables.groups, models),
        challenges.section(tables.aggregates),
        sections.training(tables.histories, tables.validation_pairs),
        sections.definitions({row.metric for row in tables.rows}),
        origins.section(origin, paths, settings.models),
    )
    return tuple(section for section in ordered if section is not None)


def _training_warnings(tables: Tables) -> tuple[str, ...]:
    return tuple(
        warning
        for model, folds in tables.histories.items()
        for warning in histories.warnings(model, folds)
    )
