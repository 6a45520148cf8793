"""Bring the labels of pairs onto the case grid: soft masks, one channel a label that both sides have."""

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
"""Below this a voxel of a stored label rounds to 0."""


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
    """Prepare the labels of some pairs; those that are whole and up to date are kept.

    A label that one side lacks, or has only as an empty mask, is left out of the pair and
    counted in its sidecar with the reason. A pair without label files gets a sidecar alone.

    Args:
        manifest: table of pairs.
        pairs: ids of the pairs to prepare.
        images: table of these pairs' prepared images.
        settings: how label files are read.
        code: fingerprint of this stage's code.
        cases: folder of cases, one folder a pair.
        table: table of the files made, written last.

    Raises:
        DataError: naming every pair that failed; the others are done.
    """
    tables.verified([images], cases)
    basis = {"code": code, "settings": settings.model_dump(mode="json")}

    def prepare(pair: Pair) -> list[FileEntry]:
        folder = cases / pair.id
        case = layout.read_images(folder)
        sidecar = folder / layout.LABELS_SIDECAR
        fingerprint = files.digest({**basis, "pair": pair.id, **_made_from(pair, case)})
        if not pairwork.is_finished(sidecar, fingerprint):
            _prepare_pair(pair, case, settings.labels, (sidecar, fingerprint))
        return pairwork.entries(pair.id, sidecar, cases, fingerprint)

    made = pairwork.each_pair(rows.pairs(manifest, pairs), prepare, "prepare_labels")
    tables.write(table, [entry for entries in made for entry in entries])


def _made_from(pair: Pair, case: CaseImages) -> dict[str, object]:
    """What decides the prepared labels: their files and where they and the grid lie; no intensity."""
    sources = _label_files(pair)
    return {
        "sources": {side: volumes.sha256(path) for side, path in sources.items()},
        "grid": [case.fixed.shape[1:], case.affine.tolist(), case.alignment.tolist()],
        "images": [[grid.shape, grid.affine.tolist()] for grid in (case.moving_source, case.fixed_source)],
    }


def _label_files(pair: Pair) -> dict[str, Path]:
    if pair.moving_labels is None or pair.fixed_labels is None:
        return {}
    return {"moving": pair.moving_labels, "fixed": pair.fixed_labels}


def _prepare_pair(pair: Pair, case: CaseImages, settings: LabelFiles, seal: tuple[Path, str]) -> None:
    sidecar, fingerprint = seal
    grids = {"moving": case.moving_source, "fixed": case.fixed_source}
    sides = [
        _Side(name, _on_its_image(path, grids[name], settings), case)
        for name, path in _label_files(pair).items()
    ]
    labels, left_out = _sorted_out(sides, settings)
    for name in layout.SIDES:
        files.remove(layout.labels_file(sidecar.parent, name))
    made = []
    for side in sides if labels else []:
        made.append(layout.labels_file(sidecar.parent, side.name))
        soft = np.stack([side.on_grid(label.key) for label in labels])
        volumes.write_labels(made[-1], soft, case.affine)
    described = [
        {**asdict(label), **{side.name: side.figures(label.key) for side in sides}} for label in labels
    ]
    said = {"pair": pair.id, "shape": case.fixed.shape[1:], "labels": described, "left_out": left_out}
    pairwork.seal(sidecar, fingerprint, made, said)


def _on_its_image(path: Path, image: Grid, settings: LabelFiles) -> LabelVolume:
    return volumes.read_labels_on(path, settings, image.shape, image.affine)


class _Side:
    """The labels of one side of a pair, and what becomes of them on the case grid."""

    def __init__(self, name: str, volume: LabelVolume, case: CaseImages) -> None:
        self.name = name
        self.volume = volume
        self.shape: tuple[int, int, int] = case.fixed.shape[1:]
        world = case.alignment @ case.affine if name == "moving" else case.affine
        self.to_volume = np.linalg.inv(volume.affine) @ world
        self.voxel_mm3 = [abs(float(np.linalg.det(item[:3, :3]))) for item in (volume.affine, case.affine)]
        self._brought: dict[int, Float32[np.ndarray, "x y z"]] = {}

    def on_grid(self, key: int) -> Float32[np.ndarray, "x y z"]:
        """A label on the case grid, in [0, 1]; zero beyond the file's own volume."""
        if key not in self._brought:
            mask = self.volume.mask(key)[None]
            soft = resampling.on_grid(mask, self.to_volume, self.shape, padding="zeros")[0]
            self._brought[key] = soft
        return self._brought[key]

    def lack(self, key: int) -> str:
        """Why a label cannot be used on this side; empty where it can."""
        if key not in self.volume.keys:
            return f"absent in {self.name}"
        if not self.volume.mask(key).any():
            return f"empty in {self.name}"
        if self.on_grid(key).max() < VISIBLE:
            return f"outside the grid in {self.name}"
        return ""

    def figures(self, key: int) -> dict[str, object]:
        """Voxels (of at least one half) and volume in the file and on the grid."""
        said: dict[str, object] = {}
        for place, mask, size in zip(
            ("file", "grid"), (self.volume.mask(key), self.on_grid(key)), self.voxel_mm3, strict=True
        ):
            said[f"{place}_voxels"] = int(np.count_nonzero(mask >= 0.5))
            said[f"{place}_mm3"] = round(float(mask.sum(dtype=np.float64)) * size, 3)
        return said


def _sorted_out(sides: list[_Side], settings: LabelFiles) -> tuple[list[Label], list[dict[str, object]]]:
    """The labels that every side has, and the others, each with the reason."""
    labels, left_out = [], []
    for key in sorted({key for side in sides for key in side.volume.keys}):
        label = settings.label(key)
        reasons = [reason for side in sides if (reason := side.lack(key))]
        if reasons:
            left_out.append({**asdict(label), "reason": ", ".join(reasons)})
        else:
            labels.append(label)
    return labels, left_out
