"""The public Python API, `tenter.<name>`.

Points are in RAS mm; a transform maps a fixed point to its moving point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from tenter.config import LabelFiles, TestTime, parse_test_time, read_test_time
from tenter.errors import DataError, InputError
from tenter.formats import headers, label_values, points, transforms, volumes
from tenter.formats.volumes import LabelVolume, Volume
from tenter.metrics import overlap
from tenter.metrics.points import point_errors_mm
from tenter.metrics.regions import Grid
from tenter.records import AlignmentRule, Fault
from tenter.registration import new_patient, warping
from tenter.registration.result import Registration
from tenter.registration.warping import Fill
from tenter.spatial.transform import Transform

__all__ = [
    "LabelVolume",
    "Registration",
    "Transform",
    "Volume",
    "dice",
    "read_image",
    "read_labels",
    "read_points",
    "read_transform",
    "register",
    "tre_mm",
    "warp",
    "write_image",
    "write_labels",
    "write_transform",
]

File = str | Path
Points = dict[str, tuple[float, float, float]]

ADVICE = label_values.Advice(
    "leave out stack=True", "pass stack=True to tenter.read_labels", "a label map has one channel"
)

PRESENT = 0.5
"""Value from which a voxel of a soft label counts as inside."""


def register(
    model: File | Sequence[File],
    moving: File | Volume,
    fixed: File | Volume,
    *,
    alignment: AlignmentRule | None = None,
    initial_transform: File | None = None,
    test_time: TestTime | Mapping[str, object] | File | None = None,
    device: str = "auto",
    plugins: Sequence[File] = (),
) -> Registration:
    """Register one pair of images with a finished model, or with several, averaged.

    Args:
        model: folder of a model (its folds are averaged) or of one fold; or several, all averaged.
        moving: image to be warped: a file, a folder of DICOM files, or a volume.
        fixed: image to register to.
        alignment: how the moving image is placed before the network runs; default: the model's
            rule, or `file` if a transform is given.
        initial_transform: ITK transform (fixed to moving points) for the alignment `file`.
        test_time: `poses`, `refine` or both, in the form of a study's `test_time.<option>`, or a
            YAML file with them.
        device: `auto`, `cpu` or `cuda`.
        plugins: folders and installed packages from which a network that is not part of tenter may
            be imported, which runs its code.

    Returns:
        The registration: `transform`, `warped`, `field_mm`, `warnings`, `seconds`, `save(folder)`.

    Raises:
        InputError: the model or an image cannot be used, with the reason.
    """
    moving, fixed = (_path_or_volume(image) for image in (moving, fixed))
    folders = [model] if isinstance(model, str | Path) else model
    return new_patient.register(
        [Path(folder) for folder in folders],
        moving,
        fixed,
        alignment=alignment,
        initial_transform=None if initial_transform is None else Path(initial_transform),
        test_time=_parsed_test_time(test_time),
        device=device,
        plugins=[str(place) for place in plugins],
    )


@overload
def warp(
    volume: Volume,
    transform: Transform | File,
    reference: Volume | LabelVolume | File,
    *,
    inverse: bool = False,
    fill: Fill = 0.0,
) -> Volume: ...
@overload
def warp(
    volume: LabelVolume,
    transform: Transform | File,
    reference: Volume | LabelVolume | File,
    *,
    inverse: bool = False,
    fill: Fill = 0.0,
) -> LabelVolume: ...
def warp(
    volume: Volume | LabelVolume,
    transform: Transform | File,
    reference: Volume | LabelVolume | File,
    *,
    inverse: bool = False,
    fill: Fill = 0.0,
) -> Volume | LabelVolume:
    """Warp a moving image or its labels onto the fixed image's grid, interpolating once.

    Linear interpolation for images and soft labels, nearest neighbour for label maps.

    Args:
        volume: moving image or labels; the fixed one's with `inverse`.
        transform: fixed point to moving point, or its file.
        reference: image with the target grid: the fixed one, or its file; the moving one with
            `inverse`.
        inverse: apply the inverse transform.
        fill: value outside the volume; `edge` repeats the nearest edge voxel, as
            `Registration.warped` does. A whole number for a map, from 0 to 1 for a stack.

    Raises:
        DataError: a file cannot be read.
        InputError: labels cannot have the value `fill`.
    """
    known = transform if isinstance(transform, Transform) else read_transform(transform)
    grid = _grid(reference)
    if isinstance(volume, Volume):
        return warping.warp_image(volume, known, grid, fill=fill, inverse=inverse)[0]
    fix = warping.fill_fault(volume, fill)
    if fix is not None:
        raise InputError([Fault("fill", f"is {fill}, which these labels cannot be", fix)])
    return warping.warp_labels(volume, known, grid, fill=fill, inverse=inverse)[0]


def read_image(path: File) -> Volume:
    """Read an image: `array` is `[c, x, y, z]` float32, `affine` voxel to RAS mm.

    Raises:
        DataError: it is damaged, doubtful, or holds NaN or infinity.
    """
    return volumes.read_image(Path(path))


def read_labels(path: File, *, stack: bool = False) -> LabelVolume:
    """Read labels. The caller states their kind, which files do not record.

    Args:
        path: file of a map, one whole number for each voxel (3-D); or with `stack` of one channel
            for each label, in [0, 1] (4-D; a 3-D file is one label).
        stack: whether the file is a stack.

    Raises:
        DataError: it is damaged, or holds no labels.
    """
    return volumes.read_labels(Path(path), LabelFiles(format="stack" if stack else "map"), ADVICE)


def write_image(path: File, volume: Volume) -> None:
    """Write an image as NIfTI (`.nii` or `.nii.gz`).

    Raises:
        OutputError: it could not be written whole.
    """
    volumes.write_image(Path(path), volume.array, volume.affine)


def write_labels(path: File, labels: LabelVolume) -> None:
    """Write labels as NIfTI (`.nii` or `.nii.gz`), as `tenter warp` does.

    A map keeps the integer type of the file that it was read from; other maps get the smallest
    unsigned type. Soft labels are stored as bytes, in steps of 1/255.

    Raises:
        InputError: the values are not labels, or the suffix is of another format.
        OutputError: they could not be written whole.
    """
    volumes.write_labels(Path(path), labels.values, labels.affine, labels.dtype)


def read_transform(path: File) -> Transform:
    """Read a transform: an ITK transform file, or a displacement field of ITK, ANTs or 3D Slicer.

    Raises:
        DataError: it is missing, damaged, or of an unknown kind.
    """
    return transforms.read_transform(Path(path))


def write_transform(path: File, transform: Transform) -> None:
    """Write an ITK composite transform (`.h5`), which SimpleITK, ANTs and 3D Slicer read.

    Raises:
        OutputError: it could not be written whole.
    """
    transforms.write_transform(Path(path), transform)


def read_points(path: File) -> Points:
    """Read landmarks (TSV, CSV, Slicer's .fcsv or .mrk.json): name to RAS mm.

    Raises:
        DataError: with every fault of the file.
    """
    return dict(points.read_points(Path(path)))


def tre_mm(fixed: Points, moving: Points, transform: Transform) -> dict[str, float]:
    """Target registration error in mm of the landmarks that both images have.

    Args:
        fixed: name to RAS mm in the fixed image.
        moving: name to RAS mm in the moving image.
        transform: fixed point to moving point; `transform.without_field()` gives the error
            before registration.
    """
    names = [name for name in fixed if name in moving]
    starts, ends = (
        np.array([side[name] for name in names], dtype=np.float64).reshape(-1, 3)
        for side in (fixed, moving)
    )
    errors = point_errors_mm(transform.map_points(starts), ends)
    return dict(zip(names, errors.tolist(), strict=True))


@overload
def dice(first: LabelVolume, second: LabelVolume) -> dict[int, float]: ...
@overload
def dice(first: LabelVolume, second: LabelVolume, names: Mapping[int, str]) -> dict[str, float]: ...
def dice(
    first: LabelVolume, second: LabelVolume, names: Mapping[int, str] | None = None
) -> dict[int, float] | dict[str, float]:
    """Dice coefficient of each label in either volume, by its key or name.

    Args:
        first: labels.
        second: labels on the same grid.
        names: names of labels by key: the value in a map, or the channel of a stack (from 0).

    Raises:
        DataError: the grids differ.
        InputError: `names` lacks a label, or has a name twice.
    """
    if first.shape != second.shape or not headers.same_place(
        first.affine, second.affine, first.shape
    ):
        fix = "warp one of them onto the other's first"
        raise DataError(Fault("labels", "are on different grids", fix))
    keys = sorted({*first.keys, *second.keys})
    values = {
        key: overlap.dice(*(labels.mask(key) >= PRESENT for labels in (first, second)))
        for key in keys
    }
    if names is None:
        return values
    absent = [key for key in keys if key not in names]
    if absent:
        raise InputError([Fault("names", f"lacks the labels {absent}", "name them, by their keys")])
    if len({names[key] for key in keys}) < len(keys):
        raise InputError(
            [Fault("names", "gives a name to two labels", "name each label differently")]
        )
    return {names[key]: value for key, value in values.items()}


def _parsed_test_time(test_time: TestTime | Mapping[str, object] | File | None) -> TestTime | None:
    if test_time is None or isinstance(test_time, TestTime):
        return test_time
    return (
        parse_test_time(test_time)
        if isinstance(test_time, Mapping)
        else read_test_time(Path(test_time))
    )


def _path_or_volume(image: File | Volume) -> Path | Volume:
    return image if isinstance(image, Volume) else Path(image)


def _grid(reference: Volume | LabelVolume | File) -> Grid:
    if isinstance(reference, LabelVolume):
        return Grid(reference.affine, reference.shape)
    if isinstance(reference, Volume):
        _, x, y, z = reference.array.shape
        return Grid(reference.affine, (x, y, z))
    header = volumes.header(Path(reference))
    return Grid(header.affine, header.shape)
