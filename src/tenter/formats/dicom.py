"""A folder of DICOM slices as one volume.

The slices must be complete, evenly spaced, free of shear and of one series; other folders are
refused. Only the geometry, scaling and pixels of a DICOM file are used or reported.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenter import manifest
from tenter.errors import DataError
from tenter.formats import dicom_files, dicom_pixels, headers
from tenter.formats.dicom_files import Image, UnusableError, decimals
from tenter.formats.headers import Header, refusal
from tenter.formats.image_format import Format, Stored, scaled
from tenter.formats.payloads import BLOCK, Block
from tenter.spatial import geometry

TOLERANCE_MM = 0.01
TOLERANCE_STEPS = 0.01
"""Tolerance of even spacing: mm, or a fraction of the slice distance, whichever is larger.

Positions are decimal numbers that scanners round. For very thin slices the tolerance is at most a
tenth of their distance."""

TOLERANCE_AXES = 1e-3
"""Largest deviation of stored direction cosines from unit length and right angles."""

PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
"""Elements that place a slice."""

SCALING = {"RescaleSlope": "1", "RescaleIntercept": "0"}
"""Elements that scale values, and their defaults."""

AGAIN = "export the series again, alone, into a folder of its own"


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """One plane of pixels.

    Attributes:
        image: the file that contains it.
        frame: index of the plane in the file, from 0.
        position: of the first pixel, LPS mm.
        axes: unit directions of increasing column and row, LPS, `[3, 2]`.
        steps: distance between columns and between rows, mm.
        thickness: mm; used if the series has one slice.
        scaling: slope and intercept of its values.
    """

    image: Image
    frame: int
    position: np.ndarray
    axes: np.ndarray
    steps: tuple[float, float]
    thickness: float
    scaling: tuple[float, float]

    @property
    def name(self) -> str:
        """Name of the slice in error messages."""
        frame = f" frame {self.frame + 1}" if len(self.image.frames) > 1 else ""
        return f"{self.image.path.name}{frame}"

    @property
    def normal(self) -> np.ndarray:
        """Unit direction of increasing slice index, LPS."""
        normal: np.ndarray = np.cross(self.axes[:, 0], self.axes[:, 1])
        return normal


def parts(path: Path) -> tuple[Path, ...]:
    """The files in the folder of a series, sorted by name.

    Raises:
        DataError: the folder holds none.
    """
    files = manifest.files_behind(path)
    if files == (path,):
        raise refusal(
            path, "is a folder without a DICOM image", "give the folder that holds the slices"
        )
    return files


def header(path: Path) -> Header:
    """Read the headers of all slices, and verify that they form one volume.

    Raises:
        DataError: files are unusable or inconsistent with one another.
    """
    return _header(path, _series(path))


def stored(path: Path) -> Stored:
    """Header, values `[x, y, z]`, and the slope and intercept still to be applied.

    If slices differ in their scaling, the values are float32 and already scaled.

    Raises:
        DataError: as `header`, or pixels cannot be decoded.
    """
    slices = _series(path)
    head = _header(path, slices)
    scalings = {plane.scaling for plane in slices}
    alike = len(scalings) == 1
    values = np.empty(head.shape[::-1], head.dtype if alike else np.float32)
    for index, first, rows in _pieces(path, slices):
        slope, inter = slices[index].scaling
        scaled = rows if alike else rows * np.float64(slope) + inter
        values[index, first : first + len(rows)] = scaled
    return Stored(head, values.transpose(2, 1, 0), *(scalings.pop() if alike else (1.0, 0.0)))


def blocks(path: Path) -> tuple[Header, Iterator[Block]]:
    """Header, and the scaled values slice by slice.

    Raises:
        DataError: as `header`; or, during iteration, if pixels cannot be decoded.
    """
    slices = _series(path)
    return _header(path, slices), _blocks(path, slices)


def _blocks(path: Path, slices: Sequence[_Slice]) -> Iterator[Block]:
    _, height, columns = slices[0].image.shape
    for index, first, rows in _pieces(path, slices):
        slope, inter = slices[index].scaling
        start = (index * height + first) * columns
        for piece in np.array_split(rows, 1 + rows.nbytes // BLOCK):
            yield Block(0, start, scaled(piece, slope, inter).reshape(1, -1))
            start += piece.size


def _pieces(path: Path, slices: Sequence[_Slice]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Index of a slice, first row, and stored values of rows, in the order of files."""
    indices: dict[Path, dict[int, int]] = {}
    for index, plane in enumerate(slices):
        indices.setdefault(plane.image.path, {})[plane.frame] = index
    for in_file in indices.values():
        image = slices[next(iter(in_file.values()))].image
        try:
            for frame, first, rows in dicom_pixels.pieces(image):
                yield in_file[frame], first, rows
        except UnusableError as error:
            raise refusal(path, f"{image.path.name} {error}", AGAIN) from error


def _series(path: Path) -> list[_Slice]:
    """All slices of a folder in spatial order, after all rules for a series were verified."""
    files = parts(path)
    with os.scandir(path) as entries:
        folders = sorted(
            entry.name for entry in entries if manifest.is_folder(entry) and entry.name[0] != "."
        )
    if folders:
        raise refusal(
            path, f"holds folders ({_abbreviated(folders)})", "give the folder of one series alone"
        )
    slices: list[_Slice] = []
    faults = []
    for part in files:
        try:
            image = dicom_pixels.read_image(part)
            slices += [_slice(image, frame) for frame in range(len(image.frames))]
        except UnusableError as error:
            faults.append(f"{part.name} {error}")
    if faults:
        many = (
            f"{len(faults)} of {len(files)} files cannot be used as slices: "
            if len(faults) > 1
            else ""
        )
        raise refusal(path, f"{many}{_abbreviated(faults)}", AGAIN)
    _require_alike(path, slices)
    return _ordered(path, slices)


def _slice(image: Image, frame: int) -> _Slice:
    elements = image.frames[frame]
    if len(image.frames) > 1 and "ImagePositionPatient" not in elements:
        message = "holds several frames but does not say where each of them lies"
        raise UnusableError(message)
    if not all(elements.get(keyword) for keyword in PLACE):
        message = "does not say where it lies (position, orientation and pixel spacing)"
        raise UnusableError(message)
    rows, columns = decimals(elements["PixelSpacing"], 2)
    (slope,), (inter,) = (decimals(elements.get(tag) or usual, 1) for tag, usual in SCALING.items())
    if min(rows, columns) <= 0 or slope == 0:
        message = "states a pixel spacing or rescale slope of 0"
        raise UnusableError(message)
    position = np.array(decimals(elements["ImagePositionPatient"], 3))
    axes = _axes(np.array(decimals(elements["ImageOrientationPatient"], 6)).reshape(2, 3).T)
    thickness, *_ = decimals(elements.get("SliceThickness") or "0", 1)
    thickness = thickness if thickness > 0 else headers.THICKNESS_MM
    return _Slice(image, frame, position, axes, (columns, rows), thickness, (slope, inter))


def _axes(written: np.ndarray) -> np.ndarray:
    """The nearest orthonormal directions."""
    if np.abs(written.T @ written - np.eye(2)).max() > TOLERANCE_AXES:
        message = "states directions of rows and columns that are not at right angles"
        raise UnusableError(message)
    left, _, right = np.linalg.svd(written, full_matrices=False)
    nearest: np.ndarray = left @ right
    return nearest


# ---- between slices


def _require_alike(path: Path, slices: Sequence[_Slice]) -> None:
    texts = [plane.image.frames[plane.frame] for plane in slices]
    _require_one(path, "series", [text.get("SeriesInstanceUID") for text in texts], slices)
    _require_one(path, "sizes", [plane.image.shape[1:] for plane in slices], slices)
    scales = [text.get("PhotometricInterpretation") for text in texts]
    _require_one(path, "grey scales", scales, slices)
    first = slices[0]
    for plane in slices:
        turned = np.abs(plane.axes - first.axes).max() > headers.TOLERANCE_DIRECTION
        stretch = np.divide(plane.steps, first.steps) - 1
        if turned or np.abs(stretch).max() > headers.TOLERANCE_DIRECTION:
            aspect = "orientations" if turned else "pixel spacings"
            raise refusal(
                path, f"holds slices of several {aspect} ({first.name}, {plane.name})", AGAIN
            )


def _require_one(
    path: Path, aspect: str, kinds: Sequence[Hashable], slices: Sequence[_Slice]
) -> None:
    counts = Counter(kinds)
    if len(counts) > 1:
        groups = [
            f"{count} like {slices[kinds.index(kind)].name}" for kind, count in counts.items()
        ]
        raise refusal(
            path, f"holds slices of {len(counts)} {aspect} ({_abbreviated(groups)})", AGAIN
        )


def _ordered(path: Path, slices: Sequence[_Slice]) -> list[_Slice]:
    """Slices ordered by position along the normal; refuses uneven spacing and shear."""
    normal = slices[0].normal
    order = sorted(slices, key=lambda plane: float(plane.position @ normal))
    if len(order) < 2:
        return order
    positions = np.array([plane.position for plane in order])
    heights = (positions - positions[0]) @ normal
    usual = float(np.median(np.diff(heights)))
    slack = min(max(TOLERANCE_MM, TOLERANCE_STEPS * usual), usual / 10)
    _require_distinct(path, order, heights, slack)
    rounding = _rounding_mm(positions)
    # Each coordinate that varies is off by half a unit of its last digit at most.
    reach = rounding / 2 * float(np.abs(normal).sum())
    coarse = reach >= _largest_reach(usual, len(order))
    if not _is_even(heights, slack) and (coarse or not _is_explained(heights, reach)):
        raise _uneven(path, order, heights, (rounding, coarse))
    lateral = positions - positions[0] - heights[:, None] * normal
    rounded = np.where(np.abs(normal) > 1e-4, 0.0 if coarse else rounding, 0.0)
    if (np.linalg.norm(lateral, axis=1) > slack).any() and (np.abs(lateral) > rounded + 1e-6).any():
        angle = np.degrees(np.arctan2(np.linalg.norm(lateral[-1]), heights[-1]))
        message = (
            "is sheared: its slices are shifted against each other "
            f"(gantry tilt, {angle:.3g} degrees)"
        )
        raise refusal(path, message, "resample it on a rectangular grid")
    return order


def _require_distinct(
    path: Path, order: Sequence[_Slice], heights: np.ndarray, slack: float
) -> None:
    for index in np.flatnonzero(np.diff(heights) <= slack)[:1]:
        message = f"holds two slices at one place ({order[index].name}, {order[index + 1].name})"
        raise refusal(path, message, "give one volume: one time, echo or phase, and no slice twice")


def _is_even(heights: np.ndarray, slack: float) -> bool:
    even = np.linspace(0, heights[-1], len(heights))
    return bool(np.abs(heights - even).max() <= slack)


def _rounding_mm(positions: np.ndarray) -> float:
    """The unit of the last digit of positions `[slices, 3]`, in mm: 1, 0.1, ...; 0 if below 0.001.

    Only coordinates that vary between slices count.
    """
    varying = positions[:, np.ptp(positions, axis=0) > 0]
    for digits in range(4):
        if np.abs(varying - varying.round(digits)).max(initial=0.0) < 1e-6:
            return 10.0**-digits
    return 0.0


def _largest_reach(usual: float, count: int) -> float:
    """Rounding must be less than this to be distinguishable from a missing slice.

    With a missing slice, one of `count` slices deviates from any even spacing by at least
    (count - 2) / (2 (count - 1)) of a slice distance, and rounding may hide as much as it explains.
    """
    return usual * (count - 2) / (4 * (count - 1))


def _is_explained(heights: np.ndarray, reach: float) -> bool:
    """Whether some even spacing lies within `reach` of every slice.

    For each slice distance, the best offset leaves half the range of the differences, which is
    convex in the distance: a ternary search finds the minimum.
    """
    numbers = np.arange(len(heights))

    def deviation(step: float) -> float:
        return float(np.ptp(heights - step * numbers)) / 2

    mean = heights[-1] / (len(heights) - 1)
    low, high = 0.5 * mean, 1.5 * mean
    for _ in range(100):
        third = (high - low) / 3
        if deviation(low + third) < deviation(high - third):
            high -= third
        else:
            low += third
    return deviation((low + high) / 2) <= reach + 1e-6


def _uneven(
    path: Path, order: Sequence[_Slice], heights: np.ndarray, rounded: tuple[float, bool]
) -> DataError:
    """The error for unevenly spaced slices.

    Args:
        path: the folder.
        order: slices in spatial order.
        heights: their positions along the normal, mm.
        rounded: unit of the last digit of positions in mm, and whether it is too coarse to
            recognise missing slices.
    """
    rounding, coarse = rounded
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    index = int(np.argmax(np.abs(gaps - usual)))
    widest_gap = f"{gaps[index]:.6g} mm between {order[index].name} and {order[index + 1].name}"
    many = np.mean(np.abs(gaps - usual) <= TOLERANCE_MM) >= 0.5
    other_gaps = (
        f"{usual:.6g} mm between most"
        if many
        else f"{gaps.min():.6g} to {gaps.max():.6g} mm in all"
    )
    times = round(gaps[index] / usual)
    single = np.count_nonzero(np.abs(gaps - usual) > TOLERANCE_MM) == 1
    if (
        times > 1
        and (single or not coarse)
        and abs(gaps[index] - times * usual) < 0.1 * usual + rounding
    ):
        return refusal(path, f"lacks slices: {widest_gap}, {other_gaps}", "complete the series")
    message = f"has uneven slices: {widest_gap}, {other_gaps}"
    if coarse:
        message += f" (positions are rounded to {rounding:g} mm, too coarsely for slices so close)"
        return refusal(
            path, message, "export it with exact positions, or resample it on even slices"
        )
    return refusal(path, message, "resample it on even slices")


def _header(path: Path, slices: Sequence[_Slice]) -> Header:
    first, count = slices[0], len(slices)
    rows, columns = first.image.shape[1:]
    shape, _ = headers.sized(path, (columns, rows, count))
    step = first.thickness
    if count > 1:
        step = float((slices[-1].position - first.position) @ first.normal) / (count - 1)
    lps = np.eye(4)
    lps[:3, :3] = np.column_stack([first.axes, first.normal]) * [*first.steps, step]
    lps[:3, 3] = first.position
    dtype = np.result_type(*{plane.image.dtype.newbyteorder("=") for plane in slices})
    return Header(shape, 1, headers.placed(path, geometry.LPS @ lps), dtype)


def _abbreviated(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


FORMAT = Format(
    suffixes=(),
    header=header,
    stored=stored,
    parts=parts,
    blocks=blocks,
    marked=lambda path: dicom_files.marked(path, parts(path)[0]),
)
