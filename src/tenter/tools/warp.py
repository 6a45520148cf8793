"""Warp an image, labels or points of a registered pair with its transform."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tenter.config import LabelFiles
from tenter.errors import InputError
from tenter.formats import kinds, label_values, nifti_writer, point_writers, points, volumes
from tenter.formats.headers import refusal
from tenter.formats.transforms import read_transform
from tenter.formats.volumes import LabelVolume, Volume
from tenter.metrics.regions import Grid
from tenter.records import Fault
from tenter.registration import warping
from tenter.registration.warping import Fill
from tenter.spatial.transform import Transform

_log = logging.getLogger(__name__)

Interpolation = Literal["auto", "linear", "nearest"]
Kind = Literal["auto", "image", "labels", "stack", "points"]
ADVICE = label_values.Advice(
    "give --kind labels", "give --kind stack", "a label map has one channel"
)
NAMED = 8
"""Number of points that a message names."""


def warp(  # noqa: PLR0913 - the command's flags
    *,
    transform: Path,
    input: Path,  # noqa: A002 - the flag's name
    output: Path,
    reference: Path | None = None,
    inverse: bool = False,
    kind: Kind = "auto",
    interpolation: Interpolation = "auto",
    fill: Fill = 0.0,
    overwrite: bool = False,
) -> str:
    """Warp an image, labels or points of a registered pair with its transform.

    A transform maps a point of the fixed image to the same anatomy in the moving image, as in ITK,
    ANTs and 3D Slicer. It therefore warps:

                        without --inverse              with --inverse
      images, labels    moving -> grid of the fixed    fixed -> grid of the moving
      points            fixed -> moving                moving -> fixed

    For images and labels, --reference names the image that defines the grid.

    An image is interpolated linearly and written as float32. A label map is sampled at the nearest
    voxel and keeps its integer type. A stack of labels (4-D, one label per channel) is interpolated
    linearly and stored in steps of 1/255. --kind says which of these the input is. It can be left
    out if the file is unambiguous: labels are recognised by a mark (NIfTI intent 1002, .seg.nrrd),
    an image by negative numbers or fractions.

    Args:
        transform: Transform of a registered pair (transform.h5), any linear transform of ITK or
            elastix, or a displacement field of ITK, ANTs or 3D Slicer (.h5, .tfm, .txt, .mat,
            .nii.gz, .mha, .nrrd).
        input: Image or labels (.nii, .nii.gz, .mha, .mhd, .nrrd, .nhdr), image as a folder of DICOM
            slices, or points (.tsv, .csv, .fcsv and .mrk.json of 3D Slicer, or a list of points of
            ANTs, elastix, FreeSurfer or MNI).
        output: File to write: .nii or .nii.gz; for points .tsv, .csv, .fcsv or .mrk.json.
        reference: Image that defines the output grid; required for images and labels.
        inverse: Warp in the other direction.
        kind: Kind of the input; with `auto` an ambiguous input is an error.
        interpolation: Interpolation of an image (default: linear), or of a file of unknown kind.
        fill: Value outside the input image; `edge` repeats the value of the nearest edge voxel,
            as in warped_image.nii.gz of a registration.
        overwrite: Replace the output if it exists.

    Raises:
        DataError: a file is damaged or has the wrong content.
        InputError: these files and flags cannot be combined.
        OutputError: the output could not be written.
    """
    task = _Task(transform, input, output, reference, inverse, kind, interpolation, fill)
    faults = [*task.faults(), *_output_faults(task, overwrite=overwrite)]
    if faults:
        raise InputError(faults)
    spatial_map = read_transform(transform)
    lines = _warp_points(task, spatial_map) if task.of_points else _warp_volume(task, spatial_map)
    return "\n".join([*lines, f"written: {output}"])


@dataclass(frozen=True, slots=True)
class _Task:
    """The files and flags of one call."""

    transform: Path
    input: Path
    output: Path
    reference: Path | None
    inverse: bool
    kind: Kind
    interpolation: Interpolation
    fill: Fill

    @property
    def of_points(self) -> bool:
        """Whether points are warped, not a volume."""
        if self.kind == "auto":
            return points.is_named_so(self.input)
        return self.kind == "points"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files to read."""
        return tuple(
            path for path in (self.transform, self.input, self.reference) if path is not None
        )

    def faults(self) -> Iterator[Fault]:
        """Yield faults of files and flags that cannot be combined."""
        for path in self.inputs:
            if not path.exists():
                yield Fault(str(path), "is missing", "give its right path")
        if self.fill != "edge" and not math.isfinite(self.fill):
            yield Fault(
                str(self.output),
                "cannot be filled with a value that is not finite",
                "give another --fill",
            )
        if self.of_points and (self.reference or self.interpolation != "auto" or self.fill != 0):
            message = "holds points, which have no --reference, --interpolation or --fill"
            yield Fault(str(self.input), message, "leave these flags out")
        if self.kind in {"labels", "stack"} and self.interpolation != "auto":
            message = "is warped as labels, for which --interpolation cannot be chosen"
            yield Fault(str(self.input), message, "leave out --interpolation, or give --kind image")
        if self.kind not in {"auto", "points"} and points.is_named_so(self.input):
            message = f"is a file of points by its name, which --kind {self.kind} contradicts"
            yield Fault(str(self.input), message, "leave out --kind")
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
    elif not output.name.lower().endswith(nifti_writer.SUFFIXES):
        yield Fault(
            str(output), "asks for no format that volumes are written in", "name it .nii or .nii.gz"
        )
    if any(path.resolve() == output.resolve() for path in task.inputs):
        yield Fault(str(output), "is one of the files to read", "write to another name")
    elif output.exists() and not (overwrite and output.is_file()):
        yield Fault(str(output), "is there already", "name another file, or add --overwrite")


def _warp_points(task: _Task, transform: Transform) -> list[str]:
    source_points = points.read_points(task.input)
    mapped = warping.map_points(source_points, transform, inverse=task.inverse)
    if mapped.outside:
        message = (
            "%s: %d of %d points lie outside the grid of %s, where its alignment alone acts: %s"
        )
        named = (len(mapped.outside), len(source_points), task.transform, _listed(mapped.outside))
        _log.warning(message, task.input, *named)
    if mapped.residuals_mm:
        message = (
            "%s: %d of %d points have no inverse, as the field's edge left a gap; they miss by: %s"
        )
        gaps = [f"{name} {gap:.2f} mm" for name, gap in mapped.residuals_mm.items()]
        _log.warning(message, task.input, len(gaps), len(source_points), _listed(gaps))
    point_writers.write_points(task.output, mapped.points)
    way = "moving image to the fixed" if task.inverse else "fixed image to the moving"
    return [f"{len(source_points)} points taken from the {way} one"]


def _listed(names: Sequence[str]) -> str:
    remaining = len(names) - NAMED
    return ", ".join([*names[:NAMED], *([f"and {remaining} more"] if remaining > 0 else [])])


def _warp_volume(task: _Task, transform: Transform) -> list[str]:
    header = volumes.header(task.reference or task.input)
    grid = Grid(header.affine, header.shape)
    _warn_of_grid(task, transform, grid)
    line, within = _warp_and_write(task, transform, grid)
    if not within:
        fix = "leave out --inverse?" if task.inverse else "add --inverse?"
        message = (
            "%s: does not reach a voxel of %s: do both belong to %s, and in this direction (%s)"
        )
        _log.warning(message, task.input, task.reference, task.transform, fix)
    beyond = "those of its edge" if task.fill == "edge" else f"{task.fill:g}"
    share = f"{100 * within:.1f} % of the voxels of {task.reference}"
    return [f"{task.input}: {line}", f"covers {share}; the other voxels are {beyond}"]


def _warp_and_write(task: _Task, transform: Transform, grid: Grid) -> tuple[str, float]:
    """Warp and write a volume; return a description, and the share of the grid that it covers."""
    if task.interpolation == "nearest":
        return _warp_nearest(task, transform, grid)
    volume, reason = _read(task)
    if isinstance(volume, Volume):
        image, within = warping.warp_image(
            volume, transform, grid, fill=task.fill, inverse=task.inverse
        )
        volumes.write_image(task.output, image.array, image.affine)
        return f"taken for an image, {reason}; read linearly, written as float32", within
    fix = warping.fill_fault(volume, task.fill)
    if fix is not None:
        message = f"holds labels, which cannot be {task.fill:g}"
        raise InputError([Fault(str(task.input), message, fix, column="--fill")])
    labels, within = warping.warp_labels(
        volume, transform, grid, fill=task.fill, inverse=task.inverse
    )
    volumes.write_labels(task.output, labels.values, labels.affine, labels.dtype)
    how = (
        "stack of labels, {}; read linearly"
        if labels.values.ndim == 4
        else "label map, {}; read at the nearest voxel"
    )
    written = volumes.header(task.output).dtype
    return f"taken for a {how.format(reason)}, written as {written}", within


def _warp_nearest(task: _Task, transform: Transform, grid: Grid) -> tuple[str, float]:
    """Sample a file of any kind at the nearest voxel; its numbers keep their type."""
    values, affine = volumes.read_values(task.input)
    if kinds.are_whole(values):
        values = _integers(task, values)
    warped = warping.warp_values(
        values, affine, transform, grid, mode="nearest", fill=task.fill, inverse=task.inverse
    )
    volumes.write_values(task.output, warped.values, grid.affine)
    line = f"read at the nearest voxel, as asked for, written as {warped.values.dtype}"
    return line, warped.within


def _read(task: _Task) -> tuple[Volume | LabelVolume, str]:
    """Read the input as an image or labels; also return how its kind was recognised."""
    kind, reason = task.kind, "as asked for"
    if kind == "auto" and task.interpolation == "linear":
        kind = "image"
    if kind == "auto":
        marked = kinds.marked(task.input)
        if marked is None:
            return _read_unmarked(task)
        kind, reason = marked.kind, f"as {marked.reason}"
    if kind == "image":
        return volumes.read_image(task.input), reason
    settings = LabelFiles(format="stack" if kind == "stack" else "map")
    return volumes.read_labels(task.input, settings, ADVICE), reason


def _read_unmarked(task: _Task) -> tuple[Volume, str]:
    """Read the input as an image, if its numbers cannot be labels.

    Raises:
        InputError: they may be labels as well.
    """
    values, affine = volumes.read_values(task.input)
    recognised = kinds.numbered(values)
    if recognised is not None:
        return Volume(values.astype(np.float32), affine), f"as {recognised.reason}"
    low, high = float(values.min()), float(values.max())
    message = f"holds whole numbers from {low:g} to {high:g}: an image or labels"
    if len(values) > 1:
        fix = "say which: --kind image, or --kind stack (one label a channel)"
    else:
        fix = "say which: --kind image, --kind labels, or --kind stack (one soft label)"
    raise InputError([Fault(str(task.input), message, fix, column="--kind")])


def _integers(task: _Task, values: np.ndarray) -> np.ndarray:
    """Convert whole numbers to integers, after checking that the fill value fits their type."""
    try:
        integers = kinds.integers(values)
    except ValueError as error:
        raise refusal(task.input, str(error), "give --kind image, if it is an image") from error
    if task.fill == "edge":
        return integers
    limits = np.iinfo(integers.dtype)
    if task.fill != int(task.fill) or not limits.min <= task.fill <= limits.max:
        fix = (
            f"give a whole number from {limits.min} to {limits.max}, "
            "or read it by --interpolation linear"
        )
        message = f"holds numbers in {integers.dtype}, which cannot be {task.fill:g}"
        raise InputError([Fault(str(task.input), message, fix, column="--fill")])
    return integers


def _warn_of_grid(task: _Task, transform: Transform, grid: Grid) -> None:
    """Warn if the transform does not fit the grid, or has no inverse in parts of it."""
    if not warping.meets(transform, grid, inverse=task.inverse):
        side = "moving" if task.inverse else "fixed"
        message = (
            "%s: lies wholly outside the grid of %s, "
            "so its alignment alone acts: is it the %s image?"
        )
        _log.warning(message, task.reference, task.transform, side)
    if task.inverse:
        share, worst = warping.unreturned(transform, grid)
        if share:
            message = (
                "%s: has no inverse at %.1f %% of places, "
                "as its edge left a gap (missed by up to %.2f mm)"
            )
            _log.warning(message, task.transform, 100 * share, worst)
