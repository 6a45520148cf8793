"""Preparation of a pair's labels: soft masks on the case grid, one channel per common label."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tenter import files, pairwork
from tenter.cases import case_files as layout
from tenter.cases import resampling
from tenter.cases.case_files import CaseImages, Grid
from tenter.config import LabelFiles
from tenter.formats import volumes
from tenter.formats.volumes import LabelVolume
from tenter.records import Label, Pair

VISIBLE = 1 / 510
"""Voxels of a stored label below this value round to 0."""


def origin(pair: Pair, case: CaseImages) -> dict[str, object]:
    """What the prepared labels depend on: label files and geometry, but no intensities.

    Args:
        pair: the pair with its label files.
        case: its prepared images.
    """
    sources = _label_files(pair)
    return {
        "sources": {side: volumes.sha256(path) for side, path in sources.items()},
        "grid": [case.fixed.shape[1:], case.affine.tolist(), case.alignment.tolist()],
        "images": [
            [grid.shape, grid.affine.tolist()] for grid in (case.moving_source, case.fixed_source)
        ],
    }


def _label_files(pair: Pair) -> dict[str, Path]:
    if pair.moving_labels is None or pair.fixed_labels is None:
        return {}
    return {"moving": pair.moving_labels, "fixed": pair.fixed_labels}


def write_labels(
    pair: Pair, case: CaseImages, settings: LabelFiles, seal: tuple[Path, str]
) -> None:
    """Write the labels that both sides of a pair have, and the sidecar, which lists the others.

    Args:
        pair: the pair with its label files; without them only a sidecar is written.
        case: its prepared images.
        settings: how label files are read.
        seal: the sidecar, and the fingerprint to seal it with.

    Raises:
        DataError: a label file cannot be used.
        OutputError: a result could not be written.
    """
    sidecar, fingerprint = seal
    grids = {"moving": case.moving_source, "fixed": case.fixed_source}
    sides = [
        _Side(name, _labels_on_image(path, grids[name], settings), case)
        for name, path in _label_files(pair).items()
    ]
    labels, left_out = _usable_labels(sides, settings)
    for name in layout.SIDES:
        files.remove(layout.labels_file(sidecar.parent, name))
    paths = []
    for side in sides if labels else []:
        paths.append(layout.labels_file(sidecar.parent, side.name))
        soft = np.stack([side.on_grid(label.key) for label in labels])
        volumes.write_labels(paths[-1], soft, case.affine)
    label_fields = [
        {**asdict(label), **{side.name: side.figures(label.key) for side in sides}}
        for label in labels
    ]
    fields = {
        "pair": pair.id,
        "shape": case.fixed.shape[1:],
        "labels": label_fields,
        "left_out": left_out,
    }
    pairwork.seal(sidecar, fingerprint, paths, fields)


def _labels_on_image(path: Path, image: Grid, settings: LabelFiles) -> LabelVolume:
    return volumes.read_labels_on(path, settings, image.shape, image.affine)


class _Side:
    """The labels of one side of a pair, and their masks on the case grid."""

    def __init__(self, name: str, volume: LabelVolume, case: CaseImages) -> None:
        self.name = name
        self.volume = volume
        self.shape: tuple[int, int, int] = case.fixed.shape[1:]
        world = case.alignment @ case.affine if name == "moving" else case.affine
        self.to_volume = np.linalg.inv(volume.affine) @ world
        self.voxel_mm3 = [
            abs(float(np.linalg.det(affine[:3, :3]))) for affine in (volume.affine, case.affine)
        ]
        self._resampled: dict[int, Float32[np.ndarray, "x y z"]] = {}

    def on_grid(self, key: int) -> Float32[np.ndarray, "x y z"]:
        """Return a label on the case grid, in [0, 1]; zero outside the label volume."""
        if key not in self._resampled:
            mask = self.volume.mask(key)[None]
            soft = resampling.on_grid(mask, self.to_volume, self.shape, padding="zeros")[0]
            self._resampled[key] = soft
        return self._resampled[key]

    def lack(self, key: int) -> str:
        """Say why a label cannot be used on this side; empty if it can."""
        if key not in self.volume.keys:
            return f"absent in {self.name}"
        if not self.volume.mask(key).any():
            return f"empty in {self.name}"
        if self.on_grid(key).max() < VISIBLE:
            return f"outside the grid in {self.name}"
        return ""

    def figures(self, key: int) -> dict[str, object]:
        """Count the voxels (of at least 0.5) and their volume, in the file and on the grid."""
        fields: dict[str, object] = {}
        for space, mask, size in zip(
            ("file", "grid"),
            (self.volume.mask(key), self.on_grid(key)),
            self.voxel_mm3,
            strict=True,
        ):
            fields[f"{space}_voxels"] = int(np.count_nonzero(mask >= 0.5))
            fields[f"{space}_mm3"] = round(float(mask.sum(dtype=np.float64)) * size, 3)
        return fields


def _usable_labels(
    sides: list[_Side], settings: LabelFiles
) -> tuple[list[Label], list[dict[str, object]]]:
    """Return the labels that both sides have, and the others, each with the reason."""
    labels, left_out = [], []
    for key in sorted({key for side in sides for key in side.volume.keys}):
        label = settings.label(key)
        reasons = [reason for side in sides if (reason := side.lack(key))]
        if reasons:
            left_out.append({**asdict(label), "reason": ", ".join(reasons)})
        else:
            labels.append(label)
    return labels, left_out
