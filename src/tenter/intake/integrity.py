"""Checks each file of a cohort by itself; `agreement` compares the files of a row.

A bad file raises nothing here: its faults are recorded, so that one pass reports everything.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from tenter import files
from tenter.cases.alignment import coarse_centre_of_mass_mm
from tenter.config import LabelFiles
from tenter.errors import DataError, FormatError
from tenter.formats import itk_transforms, known_formats, layers, points, transforms, units, volumes
from tenter.formats.headers import Header
from tenter.formats.label_values import MapValues, StackValues
from tenter.formats.points import Point
from tenter.formats.volumes import LabelVolume, Volume
from tenter.intake import apparent_format
from tenter.intake.coarse import Samples
from tenter.intake.occupancy import Occupancy, parse_occupancy, sampled
from tenter.records import Fault, Pair
from tenter.shapes import Matrix, PointsMm
from tenter.spatial import geometry

Kind = Literal["image", "labels", "points", "transform", "map"]
"""`transform`: a linear one; `map`: any transform that can be read, such as a field."""

KINDS: dict[str, tuple[str, Kind]] = {
    "moving_image": ("moving", "image"),
    "fixed_image": ("fixed", "image"),
    "moving_labels": ("moving_labels", "labels"),
    "fixed_labels": ("fixed_labels", "labels"),
    "moving_points": ("moving_points", "points"),
    "fixed_points": ("fixed_points", "points"),
    "initial_transform": ("initial_transform", "transform"),
}
"""Manifest column to the attribute of `Pair` and the required kind of file."""

SAMPLED_IMAGE, SAMPLED_LABELS = 64, 96
"""Samples per axis that are kept while a file is read, to locate its mass or its labels."""

LARGEST_TABLE = 2**24
"""Largest size in bytes of a file of points or a linear transform; a few hundred are usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of reading one file completely.

    Attributes:
        kind: the required kind of file.
        bytes: size of the file, or of all files of a volume; 0 if there is none.
        sha256: of its content; empty if it could not be read.
        shape: voxels of a volume along its stored axes, or None.
        channels: of an image.
        affine: rows of a volume's affine (voxel to RAS mm) or of an initial transform (RAS mm).
        keys: labels that are present.
        empty: empty channels of a stack.
        names: key and name of each segment, if the label file names them.
        points: landmark points, RAS mm.
        mass_mm: centre of mass of an image, RAS mm, from a coarse sample; None if it was not read.
        occupancy: coarse masks of the labels in a file; None if it was not read or has no label.
        faults: all faults of the file itself.
    """

    kind: Kind
    bytes: int = 0
    sha256: str = ""
    shape: tuple[int, int, int] | None = None
    channels: int = 1
    affine: tuple[tuple[float, ...], ...] = ()
    keys: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    names: tuple[tuple[int, str], ...] = ()
    points: tuple[Point, ...] = ()
    mass_mm: tuple[float, float, float] | None = None
    occupancy: Occupancy | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether the file can be used."""
        return all(fault.severity != "ERROR" for fault in self.faults)

    @property
    def matrix(self) -> Matrix:
        """The affine as an array."""
        return np.array(self.affine, dtype=np.float64)

    @property
    def centre_mm(self) -> PointsMm:
        """Centre of a volume, RAS mm, `[1, 3]`."""
        return np.array([geometry.centre_mm(self.matrix, self.shape or ())])


Findings = Mapping[tuple[Path, Kind], Finding]


def uses(pair: Pair) -> dict[str, tuple[Path, Kind]]:
    """Manifest column to file and kind of file, for every file that a row names."""
    named = {
        column: (getattr(pair, attribute), kind) for column, (attribute, kind) in KINDS.items()
    }
    return {column: (path, kind) for column, (path, kind) in named.items() if path is not None}


def parse_finding(path: Path, value: Mapping[str, Any]) -> Finding:
    """Rebuild a finding that `dataclasses.asdict` and JSON have turned into plain lists.

    Args:
        path: the file, which may have been moved since with its whole study.
        value: what JSON holds.

    Raises:
        KeyError, TypeError, ValueError: the value is not a finding.
    """
    lists = {name: tuple(value[name]) for name in ("keys", "empty")}
    return Finding(
        **dict(value)
        | lists
        | {
            "shape": tuple(value["shape"]) if value["shape"] else None,
            "affine": tuple(tuple(row) for row in value["affine"]),
            "names": tuple((int(key), str(name)) for key, name in value["names"]),
            "points": tuple(Point(name, tuple(xyz)) for name, xyz in value["points"]),
            "mass_mm": tuple(value["mass_mm"]) if value["mass_mm"] else None,
            "occupancy": parse_occupancy(value["occupancy"]) if value["occupancy"] else None,
            "faults": tuple(Fault(**fault | {"file": str(path)}) for fault in value["faults"]),
        }
    )


def examine(path: Path, kind: Kind, labels: LabelFiles, *, quick: bool = False) -> Finding:
    """Read one file completely.

    Args:
        path: the file, or the folder of a DICOM series for an image.
        kind: the required kind of file.
        labels: how label files are read.
        quick: read the headers of volumes only.

    Returns:
        The finding, with all faults of the file; a bad file raises nothing.
    """
    obstacle = _unusable_path(path, kind) or _too_large(path, kind)
    if obstacle is not None:
        return Finding(kind=kind, faults=(obstacle,))
    try:
        finding = _READERS[kind](path, labels, quick=quick)
        digest = "" if quick else _sha256(path, kind)
    except DataError as error:
        faults = error.faults
        if isinstance(error, FormatError):
            faults = apparent_format.hinted(path, error)
        return Finding(kind=kind, bytes=_bytes(path, kind), faults=faults)
    except MemoryError:
        fix = "crop or resample it, or check its header"
        return Finding(
            kind=kind, faults=(Fault(str(path), "needs more memory than there is", fix),)
        )
    except OSError as error:
        message = f"cannot be read ({error.strerror})"
        fault = Fault(str(path), message, "check its permissions and the disk")
        return Finding(kind=kind, faults=(fault,))
    return replace(finding, bytes=_bytes(path, kind), sha256=digest)


def _bytes(path: Path, kind: Kind) -> int:
    """Size of all files behind a path; 0 if it cannot be determined."""
    try:
        return sum(part.stat().st_size for part in _parts(path, kind))
    except (DataError, OSError):
        return 0


def _unusable_path(path: Path, kind: Kind) -> Fault | None:
    """The fault of a path that is neither a file nor a folder of images; opens nothing."""
    if re.search(r"(^|/)(https?|ftp|s3|gs|file):/", path.as_posix()):
        return Fault(str(path), "is a URL", "download the file and give its path")
    try:
        linked = stat.S_ISLNK(os.lstat(path).st_mode)
        mode = path.stat().st_mode
    except FileNotFoundError:
        state = "is a link to nothing" if path.is_symlink() else "does not exist"
        message = f"{state} (looked for {path.absolute()})"
        return Fault(str(path), message, "correct the path, or restore the file")
    except (OSError, ValueError):
        fix = "check the path, its links and permissions"
        return Fault(str(path), "cannot be reached", fix)
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    if not stat.S_ISREG(mode) and not (kind == "image" and stat.S_ISDIR(mode)):
        name = kinds.get(stat.S_IFMT(mode), "device")
        message = f"is {'a link to ' if linked else ''}a {name}, not a file"
        return Fault(str(path), message, "give the path of one file")
    return None


def _too_large(path: Path, kind: Kind) -> Fault | None:
    """The fault of a file that would be read at once but is too large for its kind."""
    if kind in {"image", "labels", "map"} or path.stat().st_size <= LARGEST_TABLE:
        return None
    content, fix = {
        "points": ("landmarks", "give a table with one row for each landmark"),
        "transform": (
            "a linear transform",
            "give the linear transform alone, without a displacement field",
        ),
    }[kind]
    size = path.stat().st_size / 2**20
    return Fault(str(path), f"has {size:.0f} MiB, which is too much for {content}", fix)


def stamp(path: Path, kind: Kind) -> tuple[int, ...]:
    """Size, modification time and status-change time of a file's parts, in bytes and ns.

    Empty if a part cannot be read. Equal stamps mean that the file need not be read again.
    """
    try:
        folder = [path.stat()] if path.is_dir() else []
        states = [*folder, *(part.stat() for part in _parts(path, kind))]
    except (DataError, OSError):
        return ()
    return tuple(
        value for state in states for value in (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    )


def _parts(path: Path, kind: Kind) -> tuple[Path, ...]:
    return volumes.parts(path) if _is_volume(path, kind) else (path,)


def _is_volume(path: Path, kind: Kind) -> bool:
    is_field = kind == "map" and path.name.lower().endswith(known_formats.suffixes())
    return is_field or kind in {"image", "labels"}


def _sha256(path: Path, kind: Kind) -> str:
    return volumes.sha256(path) if _is_volume(path, kind) else files.sha256(path)


def _image(path: Path, _: LabelFiles, *, quick: bool) -> Finding:
    header = volumes.header(path)
    finding = _volume(path, "image", header)
    if quick:
        return finding
    lows, highs = [np.inf] * finding.channels, [-np.inf] * finding.channels
    samples = Samples(header.shape, header.channels, SAMPLED_IMAGE, np.float32)
    for block in volumes.blocks(path):
        samples.add(block)
        ends = zip(block.values.min(axis=1), block.values.max(axis=1), strict=True)
        for channel, (low, high) in enumerate(ends, start=block.channel):
            lows[channel], highs[channel] = min(lows[channel], low), max(highs[channel], high)
    constant = [channel for channel in range(finding.channels) if lows[channel] == highs[channel]]
    if not constant:
        coarse = Volume(samples.array(), samples.affine(header.affine))
        return replace(finding, mass_mm=coarse_centre_of_mass_mm(coarse))
    which = f" in channel {constant[0]}" if finding.channels > 1 else ""
    fault = Fault(str(path), f"is constant{which}", "give an image that shows something")
    return replace(finding, faults=(fault, *finding.faults))


def _labels(path: Path, settings: LabelFiles, *, quick: bool) -> Finding:
    header = volumes.header(path)
    finding = replace(
        _volume(path, "labels", header),
        names=layers.named(header) if settings.format == "map" else (),
    )
    if quick:
        return finding
    samples = Samples(header.shape, header.channels, SAMPLED_LABELS, np.float32)
    read = _map if settings.format == "map" else _stack
    keys, empty, coarse = read(path, header, samples)
    volume = LabelVolume(coarse, samples.affine(header.affine), keys)
    return replace(
        finding,
        keys=tuple(key for key in keys if key not in empty),
        empty=empty,
        occupancy=sampled(volume),
    )


Labels = tuple[tuple[int, ...], tuple[int, ...], np.ndarray]
"""All keys, the keys of empty labels, and the samples: a map, or a stack in the keys' order."""


def _stack(path: Path, header: Header, samples: Samples) -> Labels:
    values = StackValues([0.0] * header.channels)
    for block in volumes.blocks(path):
        values.add(block.values, block.channel)
        samples.add(block)
    empty = values.require(path, layered=layers.are_layers(header))
    return tuple(range(header.channels)), empty, samples.array()


def _map(path: Path, header: Header, samples: Samples) -> Labels:
    """The labels of a map, or of a map with several layers."""
    layers.require_map(path, header)
    values = [MapValues() for _ in range(header.channels)]
    for block in volumes.blocks(path):
        samples.add(block)
        for layer, row in enumerate(block.values, start=block.channel):
            values[layer].add(row)
    occurring = [layer.require(path) for layer in values]
    rounded = np.rint(samples.array()).astype(np.int32)
    if header.channels == 1:
        return occurring[0], (), rounded[0]
    segments = layers.present(path, header, occurring)
    combined = layers.combined(segments, rounded)
    return tuple(segments) if combined.ndim == 4 else tuple(sorted(segments)), (), combined


def _volume(path: Path, kind: Kind, header: Header) -> Finding:
    spacing = geometry.spacing_mm(header.affine)
    faults = []
    if min(spacing) < units.SMALLEST_SPACING_MM or units.is_large(header.affine, header.shape):
        sizes = " x ".join(f"{size:.6g}" for size in spacing)
        extent = " x ".join(
            f"{size * n:.6g}" for size, n in zip(spacing, header.shape, strict=True)
        )
        message = f"has voxels of {sizes} mm, in all {extent} mm: is its unit mm?"
        fix = "correct its geometry, if this is not its size"
        faults.append(Fault(str(path), message, fix, severity="WARNING"))
    return Finding(
        kind=kind,
        shape=header.shape,
        channels=header.channels,
        affine=_rows(header.affine),
        faults=tuple(faults),
    )


def _rows(matrix: Matrix) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)


# All readers have the same signature.
def _points(path: Path, _: LabelFiles, *, quick: bool) -> Finding:  # noqa: ARG001
    landmarks, faults = points.scan(path)
    return Finding(kind="points", points=landmarks, faults=faults)


def _transform(path: Path, _: LabelFiles, *, quick: bool) -> Finding:  # noqa: ARG001 - likewise
    return Finding(kind="transform", affine=_rows(itk_transforms.read_alignment(path)))


def _whole_map(path: Path, _: LabelFiles, *, quick: bool) -> Finding:
    if not quick:
        transforms.read_transform(path)
    return Finding(kind="map")


class _Reader(Protocol):
    def __call__(self, path: Path, _: LabelFiles, /, *, quick: bool) -> Finding: ...


_READERS: dict[Kind, _Reader] = {
    "image": _image,
    "labels": _labels,
    "points": _points,
    "transform": _transform,
    "map": _whole_map,
}
