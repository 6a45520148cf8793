"""Register one new patient by a finished model: two image files in, a folder of results out."""

from __future__ import annotations

import time
from pathlib import Path

import torch

import tenter
from tenter.config import read_test_time
from tenter.records import AlignmentRule
from tenter.registration import registering
from tenter.registration.registered import PARTS, Extra, Registration, require_room


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
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
) -> str:
    """Register a new patient's images; needs neither manifest nor labels.

    Writes transform.h5, field.nii.gz, warped_image.nii.gz, overview.png and register.json.

    Args:
        model: Folder of a finished model (its folds are averaged), or of one fold; several are averaged.
        moving: Image that is brought to the other: NIfTI, MetaImage, NRRD, or a folder of DICOM files.
        fixed: Image that stays.
        out: Folder of the results; made where absent.
        alignment: Rule that places the moving image before the network; default: the model's.
        initial_transform: ITK transform (fixed to moving points) of the alignment `file`.
        test_time: YAML file of one test-time option: `poses`, `refine` or both; more time for more care.
        export: Further files: the inverse, and the field for readers of RAS, FSL or Learn2Reg.
        device: Where the network runs: auto, cpu or cuda.
        threads: CPU threads; default: one for each core.
        overwrite: Replace an earlier registration in the folder.

    Returns:
        What was done, and where the seconds went.

    Raises:
        InputError: the model, an image or the folder cannot be used.
        DeviceError: the device is not there, or too small.
        OutputError: a file could not be written whole.
    """
    importing = time.perf_counter() - tenter.STARTED
    require_room(out, overwrite=overwrite)
    option = None if test_time is None else read_test_time(test_time)
    if threads is not None:
        torch.set_num_threads(threads)
    done = registering.register(
        model,
        moving,
        fixed,
        alignment=alignment,
        initial_transform=initial_transform,
        test_time=option,
        device=device,
    )
    done.seconds["import"] = importing
    made = done.save(out, export=export, overwrite=overwrite)
    return _summary(done, out, made)


def _summary(done: Registration, out: Path, made: tuple[Path, ...]) -> str:
    found = done.figures
    folds = f"{len(done.members)} folds averaged" if len(done.members) > 1 else f"fold {done.members[0][0]}"
    spread = f"; the folds differ by {found.spread_mm:.2f} mm" if found.spread_mm is not None else ""
    parts = ", ".join(f"{part} {done.seconds[part]:.2f}" for part in ("import", *PARTS))
    moved = f"mean {found.mean_mm:.2f} mm, largest {found.largest_mm:.2f} mm"
    return "\n".join(
        [
            f"{done.moving.shown} registered to {done.fixed.shown}",
            f"model: {done.model} ({folds}); alignment: {done.alignment}{_beyond(done)}",
            f"displacement: {moved}; {found.folding_percent:.2g} % of voxels folded{spread}",
            f"written to {out}: {', '.join(path.relative_to(out).as_posix() for path in made)}",
            f"seconds: {parts}; in all {sum(done.seconds.values()):.2f}",
        ]
    )


def _beyond(done: Registration) -> str:
    """What was done beyond the networks' answer."""
    said = ""
    if done.done and done.done["poses"]:
        said += f"; {done.done['poses']} further poses averaged"
    refined = (done.done or {}).get("refine")
    if refined and refined["failed_at"] is None:
        losses = f"{refined['loss_before']:.4g} to {refined['loss_after']:.4g}"
        said += f"; refined in {refined['steps']} steps, loss {losses}"
    return said + ("; not refined" if refined and refined["failed_at"] is not None else "")
