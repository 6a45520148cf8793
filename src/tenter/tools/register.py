"""Register a new patient with a finished model: two image files in, a folder of results out."""

from __future__ import annotations

import time
from pathlib import Path

import torch

import tenter
from tenter.config import read_test_time
from tenter.records import AlignmentRule
from tenter.registration import new_patient
from tenter.registration.result import PARTS, Extra, Registration, require_room


def register(  # noqa: PLR0913 - its arguments are the command's flags
    *,
    model: tuple[Path, ...],
    moving: Path,
    fixed: Path,
    out: Path,
    alignment: AlignmentRule | None = None,
    initial_transform: Path | None = None,
    test_time: Path | None = None,
    export: tuple[Extra, ...] = (),
    plugins: tuple[str, ...] = (),
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
) -> str:
    """Register a new patient's images; neither a manifest nor labels are needed.

    Writes transform.h5, field.nii.gz, warped_image.nii.gz, overview.png and register.json.

    Args:
        model: Folder of a finished model (its folds are averaged), or of one fold; several folders
            are averaged, too.
        moving: Image to be warped: NIfTI, MetaImage, NRRD, or a folder of DICOM files.
        fixed: Image that the moving image is registered to, in one of the same formats.
        out: Folder of the results; created if it does not exist.
        alignment: Rule that places the moving image before the network runs; default: the model's.
        initial_transform: ITK transform (fixed to moving points) for the alignment rule `file`.
        test_time: YAML file of one test-time option, `poses`, `refine` or both: slower, but often
            more accurate.
        export: Further files: the inverse, and the field as used by RAS readers, FSL or Learn2Reg.
        plugins: Folders and installed packages from which a network that is not part of tenter may
            be imported. This runs their code: name only what you trust.
        device: Where the network runs: auto, cpu or cuda.
        threads: Number of CPU threads; default: one per core.
        overwrite: Replace an earlier registration in the folder.

    Returns:
        What was done, and how long each part took.

    Raises:
        InputError: the model, an image or the folder cannot be used.
        DeviceError: the device is missing, or has too little memory.
        OutputError: a file could not be written completely.
    """
    importing = time.perf_counter() - tenter.STARTED
    require_room(out, overwrite=overwrite)
    option = None if test_time is None else read_test_time(test_time)
    if threads is not None:
        torch.set_num_threads(threads)
    result = new_patient.register(
        model,
        moving,
        fixed,
        alignment=alignment,
        initial_transform=initial_transform,
        test_time=option,
        device=device,
        plugins=plugins,
    )
    result.seconds["import"] = importing
    paths = result.save(out, export=export, overwrite=overwrite)
    return _summary(result, out, paths)


def _summary(result: Registration, out: Path, paths: tuple[Path, ...]) -> str:
    figures = result.figures
    folds = (
        f"{len(result.members)} folds averaged"
        if len(result.members) > 1
        else f"fold {result.members[0][0]}"
    )
    spread = (
        f"; the folds differ by {figures.spread_mm:.2f} mm" if figures.spread_mm is not None else ""
    )
    parts = ", ".join(f"{part} {result.seconds[part]:.2f}" for part in ("import", *PARTS))
    moved = f"mean {figures.mean_mm:.2f} mm, largest {figures.largest_mm:.2f} mm"
    return "\n".join(
        [
            f"{result.moving.shown} registered to {result.fixed.shown}",
            f"model: {result.model} ({folds}); alignment: {result.alignment}{_beyond(result)}",
            f"displacement: {moved}; {figures.folding_percent:.2g} % of voxels folded{spread}",
            f"written to {out}: {', '.join(path.relative_to(out).as_posix() for path in paths)}",
            f"seconds: {parts}; in all {sum(result.seconds.values()):.2f}",
        ]
    )


def _beyond(result: Registration) -> str:
    """Describe what was done beyond running the networks."""
    text = ""
    if result.done and result.done["poses"]:
        text += f"; {result.done['poses']} further poses averaged"
    refined = (result.done or {}).get("refine")
    if refined and refined["failed_at"] is None:
        losses = f"{refined['loss_before']:.4g} to {refined['loss_after']:.4g}"
        text += f"; refined in {refined['steps']} steps, loss {losses}"
    return text + ("; not refined" if refined and refined["failed_at"] is not None else "")
