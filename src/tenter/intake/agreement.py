"""Consistency of files: labels and points with their image, moving with fixed, row with row."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tenter.cases.alignment import levelled
from tenter.cases.case_files import Grid
from tenter.errors import DataError
from tenter.formats import headers, points
from tenter.formats.headers import Header
from tenter.intake.integrity import Finding, Findings, Kind, uses
from tenter.records import AlignmentRule, Fault, Pair, Severity
from tenter.shapes import Matrix, PointsMm
from tenter.spatial import geometry

FAR_MM = 1000.0
"""Image centres further apart than this cause a warning."""

Use = tuple[Path, Kind]

SIDES = ("moving", "fixed")


def disagreements(pair: Pair, findings: Findings, alignment: AlignmentRule) -> Iterator[Fault]:
    """Inconsistencies between the files of one row; files that are faulty themselves are left out.

    Args:
        pair: the row.
        findings: of every file.
        alignment: rule of the initial alignment.

    Yields:
        Faults, each of the manifest column that it concerns.
    """
    named = uses(pair)
    sound = {column: findings[use] for column, use in named.items() if findings[use].sound}
    yield from _alignment_file(pair, alignment)
    if "moving_image" in sound and "fixed_image" in sound:
        yield from _images(sound, alignment)
    for side in SIDES:
        image = sound.get(f"{side}_image")
        if image is not None and f"{side}_labels" in sound:
            path = named[f"{side}_labels"][0]
            yield from _labels_on_image(f"{side}_labels", path, sound[f"{side}_labels"], image)
        if image is not None and f"{side}_points" in sound:
            yield from _points_in_image(f"{side}_points", sound[f"{side}_points"], image)
        if f"{side}_labels" in sound:
            yield from _without_labels(f"{side}_labels", sound[f"{side}_labels"])
    if "moving_points" in sound and "fixed_points" in sound:
        yield from _point_sets(sound["moving_points"], sound["fixed_points"])


def common_keys(pair: Pair, findings: Findings) -> frozenset[int]:
    """Labels that are present on both sides of a row; none if a label file is absent or faulty."""
    moving, fixed = _keys(pair, findings)
    return moving & fixed


def one_sided_keys(pair: Pair, findings: Findings) -> dict[str, frozenset[int]]:
    """Labels present on one side of a row only, by the label column of the side that lacks them.

    Empty if a side has no labels at all.
    """
    moving, fixed = _keys(pair, findings)
    return (
        {"moving_labels": fixed - moving, "fixed_labels": moving - fixed}
        if moving and fixed
        else {}
    )


def differing_labels(pair: Pair, findings: Findings) -> Iterator[Fault]:
    """Labels that are present on one side of a row only, as one fault."""
    lacking = one_sided_keys(pair, findings)
    parts = [
        f"{_some(sorted(lacking[f'{opposite}_labels']))} only in {side}"
        for side, opposite in (SIDES, SIDES[::-1])
        if lacking.get(f"{opposite}_labels")
    ]
    if parts:
        shared = len(common_keys(pair, findings))
        message = f"labels differ: {', '.join(parts)}; {shared} common labels are used"
        fix = "draw them on both sides if they should count"
        yield _fault("fixed_labels", message, fix, "WARNING")


def _keys(pair: Pair, findings: Findings) -> tuple[frozenset[int], frozenset[int]]:
    """Labels of the moving and the fixed side; both empty if a label file is absent or faulty."""
    sides = [findings[use].keys for column, use in uses(pair).items() if column.endswith("_labels")]
    return (
        (frozenset(sides[0]), frozenset(sides[1]))
        if len(sides) == 2
        else (frozenset(), frozenset())
    )


def _alignment_file(pair: Pair, alignment: AlignmentRule) -> Iterator[Fault]:
    has_transform = pair.initial_transform is not None
    column = "initial_transform"
    if alignment == "file" and not has_transform:
        fix = "give an ITK transform file, or choose another `plan.alignment`"
        yield _fault(column, "is blank, but `plan.alignment` is `file`", fix)
    if alignment != "file" and has_transform:
        fix = "set `plan.alignment: file` if it should be used"
        yield _fault(column, f"is ignored: `plan.alignment` is `{alignment}`", fix, "WARNING")


def _images(sound: dict[str, Finding], alignment: AlignmentRule) -> Iterator[Fault]:
    moving, fixed = sound["moving_image"], sound["fixed_image"]
    if moving.sha256 and moving.sha256 == fixed.sha256:
        message = "has the same content as the moving image"
        yield _fault("fixed_image", message, "give two images")
        return
    if alignment == "file" and "initial_transform" not in sound:
        return
    placed = sound["initial_transform"].matrix if alignment == "file" else np.eye(4)
    yield from _slices(moving, fixed, placed, alignment)
    middle = geometry.apply(placed, fixed.centre_mm)
    distance = float(np.linalg.norm(moving.centre_mm - middle))
    centre = "set `plan.alignment` to `centre` or `mass`, or check both headers (unit, origin)"
    if distance > FAR_MM:
        message = f"centre is {distance:.0f} mm from the fixed image's"
        yield _fault("moving_image", message, centre, "WARNING")
    if alignment not in {"centre", "mass"} and not overlap(moving, fixed, placed):
        message = f"does not overlap the fixed image at all (centres {distance:.1f} mm apart)"
        yield _fault("moving_image", message, centre, "WARNING")


def _slices(
    moving: Finding, fixed: Finding, placed: Matrix, alignment: AlignmentRule
) -> Iterator[Fault]:
    """Slices that the alignment does not bring into one plane, and a slice paired with a volume."""
    if alignment in {"centre", "mass"}:
        placed = geometry.translation((moving.centre_mm - fixed.centre_mm)[0])
    try:
        levelled(
            placed, *(Grid(image.shape or (0, 0, 0), image.matrix) for image in (moving, fixed))
        )
    except DataError as error:
        for fault in error.faults:
            yield _fault("moving_image", fault.message, fault.fix)


def overlap(moving: Finding, fixed: Finding, placed: Matrix) -> bool:
    """Whether two volumes overlap, by the separating axis theorem for two boxes.

    Args:
        moving: a volume.
        fixed: a volume.
        placed: RAS mm to RAS mm, a fixed point to the moving point that lies on it.
    """
    boxes = [_corners_mm(moving), geometry.apply(placed, _corners_mm(fixed))]
    edges = [box[[4, 2, 1]] - box[0] for box in boxes]
    faces = [np.cross(edge, np.roll(edge, 1, axis=0)) for edge in edges]
    between = np.cross(edges[0][:, None], edges[1][None]).reshape(9, 3)
    axes = np.concatenate([*faces, between])
    lengths = np.linalg.norm(axes, axis=1)
    # Parallel edges span no axis.
    spanning = lengths > 1e-9 * np.abs(np.concatenate(edges)).max() ** 2
    first, second = (box @ (axes[spanning] / lengths[spanning, None]).T for box in boxes)
    apart = (first.max(axis=0) <= second.min(axis=0)) | (second.max(axis=0) <= first.min(axis=0))
    return not bool(apart.any())


def _corners_mm(volume: Finding) -> PointsMm:
    """The outer corners of a block of voxels, RAS mm, `[8, 3]`, first axis slowest."""
    ends = itertools.product(*((-0.5, size - 0.5) for size in volume.shape or ()))
    return geometry.apply(volume.matrix, np.array(list(ends)))


def _labels_on_image(column: str, path: Path, labels: Finding, image: Finding) -> Iterator[Fault]:
    try:
        headers.require_same_grid(path, _header(labels), image.shape or (0, 0, 0), image.matrix)
    except DataError as error:
        for fault in error.faults:
            yield _fault(column, fault.message, fault.fix)
    if labels.empty:
        channels = ", ".join(map(str, labels.empty))
        message = f"channels {channels} are empty: measured as absent, never as 0 or 1"
        yield _fault(column, message, "remove them, or draw the labels", "WARNING")


def _header(volume: Finding) -> Header:
    return Header(volume.shape or (0, 0, 0), volume.channels, volume.matrix, np.dtype(np.float32))


def _without_labels(column: str, labels: Finding) -> Iterator[Fault]:
    if not labels.keys and labels.sha256:
        fix = "draw labels, or name none in this row"
        yield _fault(column, "holds no label at all", fix, "WARNING")


def _points_in_image(column: str, landmarks: Finding, image: Finding) -> Iterator[Fault]:
    positions = np.array([point.xyz for point in landmarks.points], dtype=np.float64).reshape(-1, 3)
    outside = ~_inside(positions, image)
    if not outside.any():
        return
    names = [point.name for point, out in zip(landmarks.points, outside, strict=True) if out]
    guess = "give RAS mm of this image's world"
    if _inside(positions * [-1, -1, 1], image).all():
        guess = "read as LPS they lie inside: declare that in a column `space`"
    elif _inside(geometry.apply(image.matrix, positions), image).all():
        guess = "they look like voxel indices: convert them to RAS mm"
    first = ", ".join(f"{value:.1f}" for value in positions[outside][0])
    message = (
        f"{len(names)} of {len(positions)} points lie outside the image: {_some(names)} "
        f"(first at {first} mm)"
    )
    yield _fault(column, message, guess)


def _inside(positions: PointsMm, image: Finding) -> np.ndarray:
    voxels = geometry.apply(np.linalg.inv(image.matrix), positions)
    slack = 0.5 + headers.TOLERANCE_MM
    inside = (voxels >= -slack) & (voxels <= np.array(image.shape) - 1 + slack)
    return np.asarray(inside.all(axis=1))


def _point_sets(moving: Finding, fixed: Finding) -> Iterator[Fault]:
    for column, finding, opposite, side in (
        ("moving_points", moving, fixed, "fixed"),
        ("fixed_points", fixed, moving, "moving"),
    ):
        lacking = points.absent(finding.points, opposite.points)
        if lacking:
            message = f"names {len(lacking)} points that the {side} side lacks: {_some(lacking)}"
            yield _fault(column, message, "name the points alike on both sides")


def leaks(pairs: Sequence[Pair], findings: Findings) -> Iterator[tuple[Pair, Fault]]:
    """Images with the same content that belong to two patients: folds by patient would leak them.

    In a pair of two patients the moving image belongs to the first.

    Yields:
        The later row and the fault, one for each duplicated content.
    """
    seen: dict[str, list[tuple[Pair, str]]] = defaultdict(list)
    for pair in pairs:
        for column, use in uses(pair).items():
            if use[1] == "image" and findings[use].sha256:
                seen[findings[use].sha256].append((pair, column))
    for shared in seen.values():
        first = shared[0][0]
        conflicts = [entry for entry in shared if _owner(*entry) != _owner(*shared[0])]
        if conflicts:
            pair, column = conflicts[0]
            ids = dict.fromkeys(_owner(*entry) for entry in shared)
            message = (
                f"leak: the same image appears under patients {_some(tuple(ids))} "
                f"(first in row {first.row})"
            )
            fix = "give them one patient id, so that they share a fold"
            yield pair, _fault(column, message, fix, "WARNING")


def misnamed(pairs: Sequence[Pair], findings: Findings) -> Iterator[tuple[Pair, Fault]]:
    """Label files whose name for a label differs from most others' (3D Slicer stores such names).

    Yields:
        The row and the fault, one for each file and label.
    """
    named: dict[Use, tuple[Pair, str]] = {}
    for pair in pairs:
        for column, use in uses(pair).items():
            named.setdefault(use, (pair, column))
    names: dict[int, Counter[str]] = defaultdict(Counter)
    for use in named:
        for key, name in findings[use].names:
            names[key][name.casefold()] += 1
    for use, (pair, column) in named.items():
        for key, name in findings[use].names:
            usual, count = names[key].most_common(1)[0]
            if name.casefold() != usual:
                message = f"label {key} is called {name!r}, and {usual!r} in {count} other files"
                fix = "if these are two structures, give each its own label value in all files"
                yield pair, _fault(column, message, fix, "WARNING")


def _fault(column: str, message: str, fix: str, severity: Severity = "ERROR") -> Fault:
    """A fault of one column of a row; who knows the manifest names the row."""
    return Fault(column, message, fix, column=column, severity=severity)


def _owner(pair: Pair, column: str) -> str:
    """The patient whose image a column of a row names."""
    return pair.patients[0 if column == "moving_image" else -1]


def _some(names: Iterable[object]) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:5]) + (f" and {len(texts) - 5} more" if len(texts) > 5 else "")
