"""Carry an image, labels or points of a registered pair through its transform."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tenter.data import label_maps, point_writers, points, volumes
from tenter.data.headers import refusal
from tenter.data.transforms import read_transform
from tenter.errors import InputError
from tenter.metrics.regions import Grid
from tenter.records import Fault
from tenter.registration import warping
from tenter.registration.warping import Fill
from tenter.spatial.transform import Transform
from tenter.spatial.warp import Mode

_log = logging.getLogger(__name__)

Interpolation = Literal["auto", "linear", "nearest"]
SUFFIXES = (".nii", ".nii.gz")
NAMED = 8
"""Names of points that a message lists in full."""


def warp(
    *,
    transform: Path,
    input: Path,  # noqa: A002 - the flag's name
    output: Path,
    reference: Path | None = None,
    inverse: bool = False,
    interpolation: Interpolation = "auto",
    fill: Fill = 0.0,
    overwrite: bool = False,
) -> str:
    """Carry an image, labels or points of a registered pair through its transform.

    A transform maps a point of the fixed image to the same anatomy in the moving image, as
    those of ITK, ANTs and 3D Slicer do. So things go

                        without --inverse              with --inverse
      images, labels    moving -> grid of the fixed    fixed -> grid of the moving
      points            fixed -> moving                moving -> fixed

    and --reference names the image whose grid that is.

    Label maps are read at the nearest voxel and stay whole numbers in their own type (the smallest
    that holds them, where the input stores them as real ones). Images and soft labels are read
    linearly and become float32. A 4-D file is carried channel by channel.

    Args:
        transform: transform.h5 of a registered pair, any linear ITK transform, or a field of
            displacements (ITK's, ANTs' or 3D Slicer's: .h5, .tfm, .txt, .mat, .nii.gz, .mha, .nrrd).
        input: image or labels (.nii, .nii.gz, .mha, .mhd, .nrrd, .nhdr), image as a folder of DICOM
            slices, or points (.tsv, .csv, or 3D Slicer's .fcsv and .mrk.json).
        output: what to write: .nii or .nii.gz; for points .tsv, .csv, .fcsv or .mrk.json.
        reference: image on whose grid to write; needed for images and labels.
        inverse: go the other way.
        interpolation: `auto` takes a file of whole numbers for a label map if it holds at most 32
            different ones, or up to 1000 and neighbouring voxels mostly agree; it says what it took it for.
        fill: value where the input image does not reach; `edge` continues its edge without end,
            as registration's warped_image.nii.gz does.
        overwrite: replace the output if it is there.

    Raises:
        DataError: a file is damaged or not what it should be.
        InputError: these files and flags do not go together.
        OutputError: the output could not be written.
    """
    task = _Task(transform, input, output, reference, inverse, interpolation, fill)
    faults = [*task.faults(), *_output_faults(task, overwrite=overwrite)]
    if faults:
        raise InputError(faults)
    whole = read_transform(transform)
    told = _warp_points(task, whole) if task.of_points else _warp_volume(task, whole)
    return "\n".join([*told, f"written: {output}"])


@dataclass(frozen=True, slots=True)
class _Task:
    """What was asked for."""

    transform: Path
    input: Path
    output: Path
    reference: Path | None
    inverse: bool
    interpolation: Interpolation
    fill: Fill

    @property
    def of_points(self) -> bool:
        """Whether points are carried, not a volume."""
        return points.is_named_so(self.input)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files to read."""
        return tuple(path for path in (self.transform, self.input, self.reference) if path is not None)

    def faults(self) -> Iterator[Fault]:
        """What of it does not go together."""
        for path in self.inputs:
            if not path.exists():
                yield Fault(str(path), "is missing", "give its right path")
        if self.fill != "edge" and not math.isfinite(self.fill):
            yield Fault(str(self.output), "cannot be filled with what is no number", "give another --fill")
        if self.of_points and (self.reference or self.interpolation != "auto" or self.fill != 0):
            message = "holds points, which have no --reference, --interpolation or --fill"
            yield Fault(str(self.input), message, "leave these flags out")
        if not self.of_points and self.reference is None:
            side = "moving" if self.inverse else "fixed"
            fix = f"name the {side} image by --reference: the output gets its grid"
            yield Fault(str(self.input), "needs a grid to be written on", fix)


def _output_faults(task: _Task, *, overwrite: bool) -> Iterator[Fault]:
    output = task.output
    if task.of_points:
        try:
            point_writers.require_format(output)
        except InputError as error:
            yield from error.faults
    elif not output.name.lower().endswith(SUFFIXES):
        yield Fault(str(output), "asks for no format that volumes are written in", "name it .nii or .nii.gz")
    if any(path.resolve() == output.resolve() for path in task.inputs):
        yield Fault(str(output), "is one of the files to read", "write to another name")
    elif output.exists() and not (overwrite and output.is_file()):
        yield Fault(str(output), "is there already", "name another file, or add --overwrite")


def _warp_points(task: _Task, transform: Transform) -> list[str]:
    found = points.read_points(task.input)
    mapped = warping.map_points(found, transform, inverse=task.inverse)
    if mapped.outside:
        message = "%s: %d of %d points lie outside the grid of %s, where its alignment alone acts: %s"
        named = (len(mapped.outside), len(found), task.transform, _listed(mapped.outside))
        _log.warning(message, task.input, *named)
    if mapped.residuals_mm:
        message = "%s: %d of %d points have no inverse, as the field's edge left a gap; they miss by: %s"
        gaps = [f"{name} {gap:.2f} mm" for name, gap in mapped.residuals_mm.items()]
        _log.warning(message, task.input, len(gaps), len(found), _listed(gaps))
    point_writers.write_points(task.output, mapped.points)
    way = "moving image to the fixed" if task.inverse else "fixed image to the moving"
    return [f"{len(found)} points taken from the {way} one"]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join([*names[:NAMED], *([f"and {rest} more"] if rest > 0 else [])])


def _warp_volume(task: _Task, transform: Transform) -> list[str]:
    values, affine = volumes.read_values(task.input)
    head = volumes.header(task.reference or task.input)
    grid = Grid(head.affine, head.shape)
    _tell_of_grid(task, transform, grid)
    mode, told = _mode(task, values)
    if mode == "nearest" and label_maps.are_whole(values):
        values = _integers(task, values)
    warped = warping.warp_values(
        values, affine, transform, grid, mode=mode, fill=task.fill, inverse=task.inverse
    )
    if not warped.within:
        mend = "leave out --inverse?" if task.inverse else "add --inverse?"
        message = "%s: does not reach a voxel of %s: do both belong to %s, and in this direction (%s)"
        _log.warning(message, task.input, task.reference, task.transform, mend)
    volumes.write_values(task.output, warped.values, grid.affine)
    beyond = "those of its edge" if task.fill == "edge" else f"{task.fill:g}"
    share = f"{100 * warped.within:.1f} % of the voxels of {task.reference}"
    return [f"{told}, written as {warped.values.dtype}", f"covers {share}; the other voxels are {beyond}"]


def _mode(task: _Task, values: np.ndarray) -> tuple[Mode, str]:
    """How a volume is read, and why."""
    words: dict[Mode, str] = {"nearest": "at the nearest voxel", "linear": "linearly"}
    if task.interpolation != "auto":
        return task.interpolation, f"{task.input}: read {words[task.interpolation]}, as asked for"
    if not label_maps.is_label_map(values):
        return "linear", f"{task.input}: taken for an image or soft labels, read {words['linear']}"
    count = label_maps.distinct(values)
    return "nearest", f"{task.input}: taken for a label map ({count} whole numbers), read {words['nearest']}"


def _integers(task: _Task, values: np.ndarray) -> np.ndarray:
    """Labels as integers, once it is sure that what to fill with is one of their type too."""
    try:
        labels = label_maps.integers(values)
    except ValueError as error:
        raise refusal(task.input, str(error), "renumber the labels") from error
    if task.fill == "edge":
        return labels
    limits = np.iinfo(labels.dtype)
    if task.fill != int(task.fill) or not limits.min <= task.fill <= limits.max:
        fix = f"give a whole number from {limits.min} to {limits.max}, or read it by --interpolation linear"
        message = f"holds labels in {labels.dtype}, which cannot be {task.fill:g}"
        raise InputError([Fault(str(task.input), message, fix, column="--fill")])
    return labels


def _tell_of_grid(task: _Task, transform: Transform, grid: Grid) -> None:
    """Say where the transform was not made for such a grid, or has no inverse on it."""
    if not warping.meets(transform, grid, inverse=task.inverse):
        side = "moving" if task.inverse else "fixed"
        message = "%s: lies wholly outside the grid of %s, so its alignment alone acts: is it the %s image?"
        _log.warning(message, task.reference, task.transform, side)
    if task.inverse:
        share, worst = warping.unreturned(transform, grid)
        if share:
            message = (
                "%s: has no inverse at %.1f %% of places, as its edge left a gap (missed by up to %.2f mm)"
            )
            _log.warning(message, task.transform, 100 * share, worst)
