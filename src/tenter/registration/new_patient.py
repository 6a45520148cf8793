"""Registration of a new patient by a finished model: two images, no manifest, no labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from tenter import finished
from tenter.cases import preparation
from tenter.cases.alignment import align
from tenter.cases.case_files import PreparedImages
from tenter.config import TestTime
from tenter.errors import CheckpointError, DataError, DeviceError, InputError
from tenter.formats.volumes import Volume
from tenter.plugins import Trusted
from tenter.records import AlignmentRule, Fault, Plan
from tenter.registration import ensemble, plausibility, prediction
from tenter.registration.inputs import Original, original, require_two
from tenter.registration.plausibility import figures
from tenter.registration.prediction import Prediction
from tenter.registration.result import Registration, tell, timed
from tenter.training.devices import select_device
from tenter.training.models import LoadedModel


def register(
    model: Path | Sequence[Path],
    moving: Path | Volume,
    fixed: Path | Volume,
    *,
    alignment: AlignmentRule | None = None,
    initial_transform: Path | None = None,
    test_time: TestTime | None = None,
    device: str = "auto",
    plugins: Sequence[str] = (),
) -> Registration:
    """Register one pair of images by a finished model, or by several together.

    Args:
        model: folder of a model (its folds are averaged) or of one fold; or several, such as the
            seeds of one model, whose folds are all averaged.
        moving: image that is warped: a file, a DICOM folder, or a volume.
        fixed: image that defines the space.
        alignment: rule that places the moving image before the network; default: the model's, or
            `file` if a transform is given.
        initial_transform: ITK transform for the rule `file`, fixed to moving points.
        test_time: test-time options: `poses`, `refine`.
        device: `auto`, `cpu` or `cuda`.
        plugins: folders and installed packages from which the model's custom network may be
            imported, which runs its code.

    Returns:
        The registration; its `warnings` are logged, too.

    Raises:
        InputError: the model or an image cannot be used, with the reason.
        DataError: the network's field is not finite.
        DeviceError: there is no such device, or it has too little memory.
    """
    seconds: dict[str, float] = {}
    folders = (model,) if isinstance(model, Path) else tuple(model)
    _require_no_ensemble(test_time)
    with timed(seconds, "load model"):
        members, plan = _loaded(folders, device, Trusted(tuple(plugins)))
        rule = _rule(plan, alignment, initial_transform)
    with timed(seconds, "read"):
        pair = original(moving, "moving"), original(fixed, "fixed")
    with timed(seconds, "prepare"):
        images = _prepared(pair, plan, rule, initial_transform)
    with timed(seconds, "network"):
        predicted = _predict(images, members, test_time)
        transform = predicted.transform(images)
    with timed(seconds, "measure"):
        field_figures = figures(transform, predicted.members)
        warnings = (
            *plausibility.warnings(*pair, plan, images, field_figures),
            *_unrefined(pair[1], predicted),
        )
    for warning in warnings:
        tell(warning)
    return Registration(
        transform=transform,
        moving=pair[0],
        fixed=pair[1],
        images=images,
        plan=plan,
        model=", ".join(_name(folder) for folder in folders),
        members=tuple((member.fold, member.sha256) for member in members),
        alignment=rule,
        test_time=test_time,
        done=predicted.test_time,
        figures=field_figures,
        warnings=warnings,
        seconds=seconds,
    )


def _loaded(
    models: Sequence[Path], device: str, trusted: Trusted
) -> tuple[tuple[LoadedModel, ...], Plan]:
    torch_device = select_device(device)
    try:
        members = ensemble.load(
            [fold for model in models for fold in finished.members(model)],
            torch_device,
            trusted,
        )
        return members, ensemble.common_plan(members)
    except CheckpointError as error:
        raise InputError(error.faults) from error


def _rule(plan: Plan, requested: AlignmentRule | None, transform: Path | None) -> AlignmentRule:
    """The rule that places the moving image.

    Raises:
        InputError: the rule needs a transform and none is given, or the other way round.
    """
    rule = requested or ("file" if transform is not None else plan.alignment)
    if rule == "file" and transform is None:
        origin = "was asked for" if requested else "is the model's rule"
        fix = "give an initial transform, or choose another alignment"
        raise InputError([Fault("alignment", f"`file` {origin}, but no transform is given", fix)])
    if rule != "file" and transform is not None:
        fix = "leave one of them out"
        raise InputError(
            [Fault(str(transform), f"would be ignored: the alignment is `{rule}`", fix)]
        )
    return rule


def _prepared(
    pair: tuple[Original, Original], plan: Plan, rule: AlignmentRule, transform: Path | None
) -> PreparedImages:
    moving, fixed = pair
    require_two(moving, fixed)
    for image, channels in ((moving, plan.moving_channels), (fixed, plan.fixed_channels)):
        if len(image.volume.array) != channels:
            message = (
                f"has {len(image.volume.array)} channels, "
                f"the model's {image.side} images have {channels}"
            )
            fix = "give an image of the kind that the model was trained on"
            raise InputError(Fault(image.shown, message, fix))
    try:
        start = align(rule, moving.volume, fixed.volume, transform)
        names = (moving.shown, fixed.shown)
        return preparation.prepared(moving.volume, fixed.volume, plan, start, names)
    except DataError as error:
        raise InputError(error.faults) from error


def _require_no_ensemble(option: TestTime | None) -> None:
    if option is not None and option.ensemble:
        fix = "leave it out, and name the folder of each seed's model instead"
        raise InputError([Fault("test_time", "`ensemble` means the seeds of a study's model", fix)])


def _unrefined(fixed: Original, predicted: Prediction) -> Iterator[Fault]:
    if predicted.refinement_failure is not None:
        yield fixed.warning(
            predicted.refinement_failure, "inspect the pair, or choose other terms for `refine`"
        )


def _predict(
    images: PreparedImages, members: Sequence[LoadedModel], option: TestTime | None
) -> Prediction:
    try:
        return prediction.predict(images, members, option)
    except torch.OutOfMemoryError as error:
        message = "has too little memory for this model's grid"
        raise DeviceError(Fault("the device", message, "register on the CPU")) from error


def _name(model: Path) -> str:
    """A model's name, with the fold if the folder is that of a fold."""
    folder = model.resolve()
    return f"{folder.parent.name}/{folder.name}" if folder.name.startswith("fold-") else folder.name
