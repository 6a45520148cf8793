"""Resample the labels of pairs to the case grid: soft masks, one channel per common label."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tenter import files, pairwork, tables
from tenter import manifest as rows
from tenter.cases import case_files as layout
from tenter.cases import resampling
from tenter.cases.case_files import CaseImages, Grid
from tenter.config import LabelFiles, LabelSettings
from tenter.formats import volumes
from tenter.formats.volumes import LabelVolume
from tenter.records import FileEntry, Label, Pair

VISIBLE = 1 / 510
"""Voxels of a stored label below this value round to 0."""


def prepare_labels(
    *,
    manifest: Path,
    pairs: tuple[str, ...],
    images: Path,
    settings: LabelSettings,
    code: str,
    cases: Path,
    table: Path,
) -> None:
    """Prepare the labels of some pairs; results that are complete and up to date are kept.

    A label that is missing or empty on one side is left out of the pair; the sidecar lists it
    with the reason. A pair without label files gets only a sidecar.

    Args:
        manifest: Table of pairs.
        pairs: Ids of the pairs to prepare.
        images: Table of these pairs' prepared images.
        settings: How label files are read (JSON).
        code: Fingerprint of this stage's code.
        cases: Folder of prepared cases, with one folder per pair.
        table: Table of the files written; it is written last.

    Raises:
        DataError: some pairs failed; all of them are named, and the others are finished.
    """
    tables.verified([images], cases)
    basis = {"code": code, "settings": settings.model_dump(mode="json")}

    def prepare(pair: Pair) -> list[FileEntry]:
        folder = cases / pair.id
        case = layout.read_images(folder)
        sidecar = folder / layout.LABELS_SIDECAR
        fingerprint = files.digest({**basis, "pair": pair.id, **_identity(pair, case)})
        if not pairwork.is_finished(sidecar, fingerprint):
            _prepare_pair(pair, case, settings.labels, (sidecar, fingerprint))
        return pairwork.entries(pair.id, sidecar, cases, fingerprint)

    prepared = pairwork.each_pair(rows.pairs(manifest, pairs), prepare, "prepare_labels")
    tables.write(table, [entry for entries in prepared for entry in entries])


def _identity(pair: Pair, case: CaseImages) -> dict[str, object]:
    """Return what the prepared labels depend on: label files and geometry, but no intensities."""
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


def _prepare_pair(
    pair: Pair, case: CaseImages, settings: LabelFiles, seal: tuple[Path, str]
) -> None:
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
