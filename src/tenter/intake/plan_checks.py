"""Compares the plan with its study: drift of the cohort, and models that do not fit the plan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenter import finished, manifest, provenance
from tenter.cases import planning, plans
from tenter.config import CompositeNetwork, Config, GlobalNetwork, Network, PlanRules
from tenter.config.yaml_files import beside
from tenter.errors import DataError, InputError
from tenter.finished import FinishedModel
from tenter.intake import custom_code
from tenter.intake.manifest_checks import some
from tenter.records import Fault, Plan
from tenter.spatial import slices
from tenter.study import Study

FAR = 2.0
"""Ratio to the voxel size that a model was trained on from which a warning is given."""

RENEW = "renew it by `snakemake ... --forcerun plan` if the cohort has changed for good"


def settled(settings: Config, config: Path, *, quick: bool) -> tuple[Config, list[Fault]]:
    """The configuration with the plan of the finished model it applies, and faults of that model.

    Args:
        settings: the configuration; returned unchanged if it trains models.
        config: its file.
        quick: whether to skip reading the model's weights.
    """
    if settings.model is None:
        return settings, []
    folder = beside(config, settings.model)
    try:
        model = finished.load(folder)
    except InputError as error:
        # The model's alignment is unknown; `centre` requires nothing of the files.
        unknown = settings.model_copy(update={"plan": PlanRules(alignment="centre")})
        return unknown, [_at_key(fault, folder, config) for fault in error.faults]
    faults = [*finished.conflicts(settings.plan, model, config)]
    faults += custom_code.absent(config, model)
    if not quick:
        faults += finished.damaged_weights(model)
    return settings.model_copy(update={"plan": model.rules}), faults


def _at_key(fault: Fault, model: Path, config: Path) -> Fault:
    """A fault of the model's folder, moved to the configuration key that names the folder."""
    if fault.file != str(model):
        return fault
    return replace(fault, file=str(config), column="model", message=f"{model} {fault.message}")


def compared(study: Study, path: Path | None) -> tuple[Plan, list[Fault]]:
    """The existing or else the derived plan, and how the cohort differs from it.

    An existing plan made by rules that have changed since is ignored: the next run renews it. If a
    finished model is applied, the plan is the model's.

    Args:
        study: the study; its pairs' images must be sound.
        path: of the plan, if there may be one.

    Raises:
        InputError: no plan can be derived from the images.
    """
    if study.applied_model is not None:
        return _adopted(study, study.applied_model, path)
    try:
        fresh = planning.derive(study.cohort.pairs, study.config.plan)
    except DataError as error:
        raise InputError([_of_plan(study, fault) for fault in error.faults]) from error
    if path is None or not path.exists() or _outdated(study, path):
        return fresh, list(
            _uncovered(study, fresh, "plan.shape", "choose a larger `plan.shape`, or leave it out")
        )
    try:
        known = plans.read_plan(path)
    except DataError as error:
        return fresh, [replace(fault, severity="WARNING") for fault in error.faults]
    drift = [
        Fault(str(path), message, RENEW, severity="WARNING")
        for message in _drift(known, fresh, study)
    ]
    return known, [*drift, *_uncovered(study, known, None, RENEW, str(path))]


def _of_plan(study: Study, fault: Fault) -> Fault:
    """A fault of planning; one of no image is a fault of the configuration."""
    if fault.file != planning.SUBJECT:
        return fault
    return replace(fault, file=str(study.path), column="plan")


def _adopted(study: Study, model: FinishedModel, path: Path | None) -> tuple[Plan, list[Fault]]:
    """The plan of an applied model, and how the cohort differs from the model's training cohort."""
    moving, fixed = (
        [planning.extent(path) for path in paths]
        for paths in zip(*((pair.moving, pair.fixed) for pair in study.cohort.pairs), strict=True)
    )
    faults = []
    for side, message in planning.unlike(moving, fixed, model.plan):
        column = "image" if study.cohort.subjects else f"{side}_image"
        fix = "give images of the kind that the model was trained on, or another model"
        faults.append(Fault(str(study.cohort.manifest), message, fix, column=column))
    if faults:
        return model.plan, faults
    plan = planning.adopt(study.cohort.pairs, model.plan)
    faults = list(_unfamiliar(study, plan, model.plan))
    if (
        path is not None
        and path.is_file()
        and not (finished.is_plan(path, model) or _renewed(study, path))
    ):
        message = f"is not the plan of the model {model.folder}"
        faults.append(
            Fault(str(path), message, "delete it: the next run writes it again", severity="WARNING")
        )
    fix = "crop the images, or apply a model that was trained on a larger grid"
    return plan, [*faults, *_uncovered(study, plan, "model", fix)]


def _renewed(study: Study, path: Path) -> bool:
    """Whether the next run derives a new plan because the rules have changed."""
    recorded = provenance.recorded(path)
    return recorded is not None and recorded["settings"] != json.loads(study.settings("plan"))


def _unfamiliar(study: Study, plan: Plan, trained: Plan) -> Iterator[Fault]:
    """Sides whose median voxel size differs much from that of the model's training cohort."""
    for side in ("moving", "fixed"):
        usual, current = (_median_spacing(source, side) for source in (trained, plan))
        if (
            usual
            and current
            and max(max(a / b, b / a) for a, b in zip(usual, current, strict=True)) > FAR
        ):
            sizes, known = (
                " x ".join(f"{size:.3g}" for size in spacing) for spacing in (current, usual)
            )
            message = (
                f"{side} images have voxels of {sizes} mm (median), those that the model was "
                f"trained on had {known} mm"
            )
            column = "image" if study.cohort.subjects else f"{side}_image"
            fix = "check their unit; expect worse results for images of another kind"
            yield Fault(str(study.cohort.manifest), message, fix, None, column, "WARNING")


def _median_spacing(plan: Plan, side: str) -> Sequence[float]:
    figures: Any = plan.cohort
    return tuple(float(size) for size in figures.get(side, {}).get("median_spacing_mm", ()))


def _outdated(study: Study, path: Path) -> bool:
    return provenance.recorded(path) is not None and not study.plan.is_current(path)


def misfits(study: Study, plan: Plan) -> Iterator[Fault]:
    """Settings that are incompatible with the plan's grid or channels."""
    yield from _of_volumes(study, plan)
    yield from custom_code.unfit(study, plan)
    for name, model in study.config.models.items():
        fix = "leave it out, or give both sides as many channels"
        yield from _incomparable(
            study, plan, model.losses.comparing, (f"models.{name}.losses", fix)
        )
        yield from _tied(study, plan, model.network, f"models.{name}.network")
    for option, (name, chosen) in study.config.options().items():
        if chosen.refine is not None:
            column = f"models.{name}.test_time.{option.removeprefix(f'{name}-')}.refine.images"
            fix = "leave `refine` out of this option"
            yield from _incomparable(study, plan, chosen.refine.losses.comparing, (column, fix))


def _of_volumes(study: Study, plan: Plan) -> Iterator[Fault]:
    """Challenge metrics requested for slices: they are defined for volumes only."""
    named = [family for family in study.config.evaluation.families if family != "strict"]
    if named and slices.normal(plan.shape) is not None:
        names = " and ".join(named)
        message = f"the metrics of {names} are defined for volumes, but the images are slices"
        fix = "leave them out: the strict family is always measured"
        yield Fault(str(study.path), message, fix, column="evaluation.families")


def _incomparable(
    study: Study, plan: Plan, terms: Iterable[str], remedy: tuple[str, str]
) -> Iterator[Fault]:
    """Loss terms that compare images of unequal numbers of channels; `remedy` is column and fix."""
    named = ", ".join(dict.fromkeys(terms))
    if named and plan.moving_channels != plan.fixed_channels:
        channels = f"{plan.moving_channels} channels, fixed ones {plan.fixed_channels}"
        message = f"moving images have {channels}: {named} cannot compare them"
        yield Fault(str(study.path), message, remedy[1], column=remedy[0])


def _tied(study: Study, plan: Plan, network: Network, column: str) -> Iterator[Fault]:
    """A network that is tied to another grid size than the plan's."""
    if isinstance(network, CompositeNetwork):
        yield from _tied(study, plan, network.first, f"{column}.first")
    elif (
        isinstance(network, GlobalNetwork)
        and network.size is not None
        and network.size != plan.shape
    ):
        expected, actual = (" x ".join(map(str, sizes)) for sizes in (network.size, plan.shape))
        message = f"the network is tied to {expected} voxels, the common grid has {actual}"
        fix = f"give {list(plan.shape)}, or leave `parity` and `size` out"
        yield Fault(str(study.path), message, fix, column=f"{column}.size")


def _uncovered(
    study: Study, plan: Plan, column: str | None, fix: str, file: str | None = None
) -> Iterator[Fault]:
    images = {manifest.place(pair, "fixed_image")[0]: pair.fixed for pair in study.cohort.pairs}
    beyond = {
        row: planning.uncovered_mm(planning.extent(path).size_mm, plan)
        for row, path in images.items()
    }
    rows = [row for row, reach in beyond.items() if reach > 0]
    if rows:
        message = (
            f"{len(rows)} fixed images reach up to {max(beyond.values()):.1f} mm beyond the common "
            f"grid (rows {some(rows)}); there the displacement is zero"
        )
        yield Fault(file or str(study.path), message, fix, None, column, "WARNING")


def _drift(known: Plan, fresh: Plan, study: Study) -> Iterator[str]:
    for side in ("moving", "fixed"):
        planned, current = getattr(known, f"{side}_channels"), getattr(fresh, f"{side}_channels")
        if planned != current:
            yield f"is for {side} images of {planned} channels; they have {current}"
    if study.config.plan.spacing_mm is not None:
        return
    changes = [
        abs(current / planned - 1)
        for planned, current in zip(known.spacing_mm, fresh.spacing_mm, strict=True)
    ]
    if max(changes) > 0.1:
        planned, current = (
            " x ".join(f"{size:g}" for size in plan.spacing_mm) for plan in (known, fresh)
        )
        yield f"has voxels of {planned} mm; the cohort's median is now {current} mm"
