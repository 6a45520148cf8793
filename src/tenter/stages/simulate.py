"""Makes a cohort of pelvic phantoms, and keeps aside how each ultrasound was truly deformed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from tenter import files
from tenter.data import transforms, volumes
from tenter.data.phantoms import scene
from tenter.data.phantoms.scene import SIDES, Scene
from tenter.errors import InputError
from tenter.records import Fault

MANIFEST = "manifest.tsv"
RECORD = "simulation.json"
COLUMNS = (
    "pair", "patient", "moving_image", "fixed_image",
    "moving_labels", "fixed_labels", "moving_points", "fixed_points",
)  # fmt: skip
GENERATION = 1
"""Raised when equal settings would give other phantoms than before."""
TRUTH_STEP_MM = 2.5
TRUTH_POINTS = 64


def simulate(
    output: Path,
    /,
    *,
    pairs: int = 24,
    patients: int = 14,
    seed: int = 0,
    spacing_mm: float = 2.0,
    labels: Literal["map", "stack"] = "stack",
    unlabelled: bool = False,
) -> None:
    """Write a cohort of simulated MR-ultrasound pairs and its manifest.

    Equal settings give equal files (transforms, whose format notes the time, equal figures);
    a pair stays what it is when more pairs are asked for.
    The true deformations lie in `truth/`, outside the manifest: no other stage reads them.

    Args:
        output: Folder of the cohort; the table of pairs becomes `manifest.tsv` in it.
        pairs: Number of image pairs.
        patients: Number of patients that the pairs are of; some have several.
        seed: Seed of everything that is drawn.
        spacing_mm: Voxel size in mm that the images' own scatter about.
        labels: `stack` writes one soft channel a label, `map` one integer a label.
        unlabelled: Leave out labels and points, as for a cohort to be registered only.

    Raises:
        InputError: the numbers make no cohort, or the folder holds something else.
    """
    settings = files.canonical({
        "generation": GENERATION, "pairs": pairs, "patients": patients, "seed": seed,
        "spacing_mm": float(spacing_mm), "labels": labels, "unlabelled": unlabelled,
    })  # fmt: skip
    _refuse_nonsense(pairs, patients, seed, spacing_mm)
    _claim(output, settings)
    if _is_whole(output):
        return
    files.write_text(output / RECORD, settings)
    rows = []
    for index in tqdm(range(pairs), desc="simulate", unit="pair", disable=None):
        patient = _patient(seed, index, patients)
        numbers = (np.random.default_rng([seed, 0, patient]), np.random.default_rng([seed, 1, index]))
        drawn = scene.draw(*numbers, spacing_mm)
        name = f"case-{index + 1:03d}"
        row = {"pair": name, "patient": f"patient-{patient + 1:03d}"}
        row |= _write_images(output, name, drawn, [seed, 2, index])
        if not unlabelled:
            row |= _write_labels(output, name, drawn, labels)
            row |= _write_points(output, name, drawn)
        _write_truth(output / "truth", name, drawn, np.random.default_rng([seed, 3, index]))
        rows.append([row.get(column, "") for column in COLUMNS])
    _write_table(output / MANIFEST, COLUMNS, rows)


def _patient(seed: int, index: int, patients: int) -> int:
    """Patient of a pair: each has one of the first pairs, later ones are dealt at random."""
    return index if index < patients else int(np.random.default_rng([seed, 4, index]).integers(patients))


def _refuse_nonsense(pairs: int, patients: int, seed: int, spacing_mm: float) -> None:
    wrong = []
    if not 1 <= patients <= pairs:
        wrong.append(("patients", f"{patients} patients cannot have {pairs} pairs", "give from 1 to pairs"))
    if seed < 0:
        wrong.append(("seed", f"{seed} is negative", "give 0 or more"))
    if not 0.5 <= spacing_mm <= 8:
        wrong.append(("spacing_mm", f"{spacing_mm} mm show no prostate", "give 0.5 to 8"))
    if wrong:
        raise InputError([Fault("simulate", what, fix, column=column) for column, what, fix in wrong])


def _claim(output: Path, settings: str) -> None:
    """Refuse a folder that holds anything but this very cohort, whole or begun."""
    fix = "name another folder for --output, or delete this one"
    if output.exists() and not output.is_dir():
        raise InputError([Fault(str(output), "is no folder", fix)])
    if not output.exists() or all(path.name.startswith(".tmp-") for path in output.iterdir()):
        return
    record = output / RECORD
    if not record.is_file():
        raise InputError([Fault(str(output), "holds something that is no simulated cohort", fix)])
    if record.read_text(encoding="utf-8", errors="replace") != settings:
        raise InputError([Fault(str(output), "holds a cohort simulated with other settings", fix)])


def _is_whole(output: Path) -> bool:
    """Whether the manifest and every file it names are there."""
    if not (output / MANIFEST).is_file():
        return False
    with (output / MANIFEST).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    named = [row[column] for row in rows for column in COLUMNS[2:] if row[column]]
    truths = [f"truth/{row['pair']}{ending}" for row in rows for ending in (".h5", ".points.tsv")]
    return all((output / name).is_file() for name in named + truths)


def _write_images(output: Path, name: str, drawn: Scene, seeds: Sequence[int]) -> dict[str, str]:
    cells = {}
    for number, side in enumerate(SIDES):
        values = drawn.image(side, np.random.default_rng([*seeds, number]))
        cells[f"{side}_image"] = f"images/{name}-{side}.nii.gz"
        volumes.write_image(output / cells[f"{side}_image"], values, drawn.grids[side].affine)
    return cells


def _write_labels(output: Path, name: str, drawn: Scene, form: Literal["map", "stack"]) -> dict[str, str]:
    cells = {}
    for side in SIDES:
        stack = drawn.labels(side)
        array = scene.label_map(stack) if form == "map" else stack
        cells[f"{side}_labels"] = f"labels/{name}-{side}.nii.gz"
        volumes.write_labels(output / cells[f"{side}_labels"], array, drawn.grids[side].affine)
    return cells


def _write_points(output: Path, name: str, drawn: Scene) -> dict[str, str]:
    if not drawn.sites:
        return {}
    cells = {}
    for side in SIDES:
        cells[f"{side}_points"] = f"points/{name}-{side}.tsv"
        rows = [[label, *_digits(place)] for label, place in drawn.points(side).items()]
        _write_table(output / cells[f"{side}_points"], ("label", "x", "y", "z"), rows)
    return cells


def _write_truth(folder: Path, name: str, drawn: Scene, rng: np.random.Generator) -> None:
    """The true transform in ITK's form, and points about the gland that truly correspond."""
    corners = drawn.grids["fixed"].corners()
    truth = drawn.deformation.sampled(corners.min(axis=0) - 4, corners.max(axis=0) + 4, TRUTH_STEP_MM)
    transforms.write_transform(folder / f"{name}.h5", truth)
    fixed = corners.mean(axis=0) + rng.uniform(-30, 30, (TRUTH_POINTS, 3))
    pairs = np.hstack([fixed, drawn.deformation.map_points(fixed)])
    columns = ("label", *(f"{side}_{axis}" for side in ("fixed", "moving") for axis in "xyz"))
    rows = [[str(number), *_digits(values)] for number, values in enumerate(pairs)]
    _write_table(folder / f"{name}.points.tsv", columns, rows)


def _digits(values: Iterable[float]) -> list[str]:
    return [f"{value:.6f}" for value in values]


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    files.write_text(path, "".join("\t".join(row) + "\n" for row in [columns, *rows]))
