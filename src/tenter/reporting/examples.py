"""The choice of pairs that are shown as pictures, and the scene of a case and its transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from tenter.cases import case_files
from tenter.formats import itk_transforms
from tenter.formats.itk_transforms import StoredTransform
from tenter.measurement import metric_tables
from tenter.records import JOIN, MetricRow
from tenter.reporting import words
from tenter.reporting.panels import Scene, Stack
from tenter.reporting.results import Group, vanished
from tenter.shapes import Matrix
from tenter.spatial.geometry import spacing_mm

_RANKED_BY = (
    ("rms_tre", "landmark"),
    ("dice", "structure"),
    ("point_tre", "points"),
    ("sd_log_jacobian", "field"),
)
"""Figures that rank pairs: the first available one decides, the others break ties."""

Beyond = Literal["nearest", "grid-constant"]
BORDER: Beyond = "nearest"
ZEROS: Beyond = "grid-constant"
"""What SciPy calls the paddings of `spatial.warp`: the edge repeated, or faded to 0."""

_CAPTIONED = {
    ("structure", "dice"),
    ("landmark", "tre"),
    ("landmark", "rms_tre"),
    ("field", "folding"),
}


@dataclass(frozen=True, slots=True)
class Example:
    """A pair worth showing.

    Attributes:
        place: `best`, `median`, `worst` or its rank; `smoothest` and `roughest` if nothing was
            measured.
        pair: its id.
        patient: its patient.
        fold: fold whose network registered it.
        measured: whether pairs are ranked by their labels or points.
    """

    place: str
    pair: str
    patient: str
    fold: str
    measured: bool = True

    @property
    def title(self) -> str:
        """Such as `Best pair`."""
        return f"{self.place.capitalize()} {'pair' if self.measured else 'deformation'}"

    @property
    def origin(self) -> str:
        """Patient, or patients, and fold."""
        first, *second = self.patient.split(JOIN)
        patients = f"Patients {first} and {second[0]}" if second else f"Patient {first}"
        return f"{patients}, fold {self.fold}"


def choose(groups: Sequence[Group], number: int) -> tuple[Example, ...]:
    """Pairs spread evenly from best to worst: 1 gives the median, 2 best and worst, 3 all of these.

    Pairs are ranked by the RMS TRE of their landmarks (a vanished one being worst), then by
    the Dice of their structures; without labels by the roughness of the deformation, which says
    nothing about how well they match.

    Args:
        groups: all of one model and set.
        number: how many pairs to choose.
    """
    ranked = _ranked(groups)
    measured = any(group.role != "field" for group in groups)
    number = min(number, len(ranked))
    middle = (len(ranked) - 1) // 2
    ranks = [middle] if number == 1 else [round(x) for x in np.linspace(0, len(ranked) - 1, number)]
    ends = ("best", "worst") if measured else ("smoothest", "roughest")
    names = {0: ends[0], len(ranked) - 1: ends[1]} if number > 1 else {}
    return tuple(
        Example(
            names.get(
                rank,
                "median" if abs(rank - middle) <= 1 else f"rank {rank + 1} of {len(ranked)}",
            ),
            ranked[rank].pair,
            ranked[rank].patient,
            ranked[rank].fold,
            measured,
        )
        for rank in ranks[:number]
    )


def _ranked(groups: Sequence[Group]) -> list[MetricRow]:
    """One row for each pair, best first."""
    telling = [
        g for metric, role in _RANKED_BY for g in groups if (g.metric, g.role) == (metric, role)
    ]
    keys: dict[str, list[float]] = {}
    rows: dict[str, MetricRow] = {}
    for column, group in enumerate(telling):
        sign = -1.0 if group.definition.better == "higher" else 1.0
        for row in group.rows:
            after = metric_tables.counted(row)[1]
            cost = math.inf if after is None else sign * after
            pair_key = keys.setdefault(row.pair, [-math.inf] * len(telling))
            pair_key[column] = max(pair_key[column], cost)
            rows.setdefault(row.pair, row)
    return [rows[pair] for pair in sorted(keys, key=lambda pair: (keys[pair], pair))]


def scene(case: Path, transform: Path) -> Scene:
    """The content of a pair's panel, on the case grid.

    A case that was prepared without labels is shown without contours.

    Args:
        case: folder of the prepared pair.
        transform: its `transform.h5`.

    Raises:
        DataError: the case or the transform is missing or damaged.
    """
    images = case_files.read_images(case)
    field = _on_case_grid(itk_transforms.read(transform), images.affine, images.fixed.shape[1:])
    labels, moving_labels, fixed_labels = _labels(case, images.fixed.shape[1:])
    return Scene(
        fixed=np.asarray(images.fixed[0], dtype=np.float64),
        moving=np.asarray(images.moving[0], dtype=np.float64),
        warped=_warped(images.moving[:1], field, BORDER)[0],
        field=field,
        spacing_mm=spacing_mm(images.affine),
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
        warped_labels=_warped(moving_labels, field, ZEROS) if labels else moving_labels,
        structures=labels,
    )


def _on_case_grid(
    stored: StoredTransform, affine: Matrix, shape: tuple[int, ...]
) -> Float[np.ndarray, "3 x y z"]:
    """The field in voxels of the case grid; networks' fields lie on it already."""
    field = np.asarray(stored.field, dtype=np.float64)
    to_field = np.linalg.inv(stored.affine) @ affine
    if field.shape[1:] == shape and np.allclose(to_field, np.eye(4), rtol=0, atol=1e-6):
        return field
    indices = np.indices(shape, dtype=np.float64)
    points = np.einsum("rc,cxyz->rxyz", to_field[:3, :3], indices)
    points += to_field[:3, 3].reshape(3, 1, 1, 1)
    sizes = np.reshape(field.shape[1:], (3, 1, 1, 1))
    inside = ((points >= -0.5) & (points < sizes - 0.5)).all(axis=0)
    moves = np.stack(
        [ndimage.map_coordinates(part, points, order=1, mode=BORDER) for part in field]
    )
    on_grid: np.ndarray = np.einsum(
        "rc,cxyz->rxyz", np.linalg.inv(to_field)[:3, :3], moves * inside
    )
    return on_grid


def _labels(case: Path, shape: tuple[int, ...]) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of structures, then moving and fixed labels, structures first."""
    if not (case / case_files.LABELS_SIDECAR).is_file():
        nothing = np.zeros((0, *shape))
        return 0, nothing, nothing
    case_labels = case_files.read_labels(case)
    order = sorted(
        range(len(case_labels.labels)),
        key=lambda index: case_labels.labels[index].role != "structure",
    )
    moving, fixed = (
        np.asarray(side, dtype=np.float64)[order] / 255
        for side in (case_labels.moving, case_labels.fixed)
    )
    return sum(label.role == "structure" for label in case_labels.labels), moving, fixed


def _warped(
    channels: Float[np.ndarray, "c x y z"], field: Float[np.ndarray, "3 x y z"], beyond: Beyond
) -> Stack:
    """Each channel at p + u(p), as `spatial.warp.warp` without torch; `beyond` the edge."""
    points = np.indices(field.shape[1:]) + field
    warped = [
        ndimage.map_coordinates(np.asarray(channel, np.float64), points, order=1, mode=beyond)
        for channel in channels
    ]
    return np.stack(warped) if warped else np.zeros((0, *field.shape[1:]))


def caption(example: Example, groups: Sequence[Group]) -> str:
    """The pair's figures before and after, in one line."""
    parts = []
    for group in groups:
        if (group.role, group.metric) not in _CAPTIONED:
            continue
        rows = [row for row in group.rows if row.pair == example.pair]
        parts += [_figure_text(row, group) for row in rows if row.after is not None]
        parts += [
            f"{row.label} vanished"
            for row in rows
            if row.after is None and vanished(row) and row.label
        ]
    return "; ".join(parts)


def _figure_text(row: MetricRow, group: Group) -> str:
    meaning = group.definition
    after = words.number(row.after, meaning)
    change = (
        after
        if row.before is None or row.role == "field"
        else f"{words.number(row.before, meaning, unit=False)} → {after}"
    )
    title = meaning.title if row.role != "field" else meaning.title.lower()
    return f"{row.label} {title} {change}".strip()
