"""Simulate a cohort of pelvic phantoms, and keep the true deformation of each ultrasound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from tenter import files
from tenter.errors import DataError, InputError
from tenter.formats import transforms, volumes
from tenter.phantoms import scene
from tenter.phantoms.scene import ALWAYS, SIDES, Scene, Side
from tenter.records import Fault

Form = Literal["map", "stack"]

MANIFEST = "manifest.tsv"
RECORD = "simulation.json"
COLUMNS = (
    "pair", "patient", "moving_image", "fixed_image",
    "moving_labels", "fixed_labels", "moving_points", "fixed_points",
)  # fmt: skip
SUBJECT_COLUMNS = ("subject", "patient", "image", "labels", "points", "group")
FILES = {*COLUMNS[2:], "image", "labels", "points"}
GROUPS: dict[Side, str] = {"moving": "mr", "fixed": "us"}
GENERATION = 1
"""Increased whenever the same settings would give different phantoms than before."""
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
    labels: Form = "stack",
    unlabelled: bool = False,
    kind: Literal["pairs", "subjects"] = "pairs",
) -> None:
    """Write a cohort of simulated MR-ultrasound pairs, or of unpaired subjects, and its manifest.

    The same settings give identical files (for transforms, whose format stores the time, identical
    values); a pair does not change when more pairs are requested.
    The true deformations lie in `truth/`, outside the manifest: no other stage reads them.
    Subjects have no true deformation.

    Args:
        output: Folder of the cohort; its table of pairs or subjects is `manifest.tsv`.
        pairs: Number of image pairs; ignored for subjects.
        patients: Number of patients; some have several pairs. Of subjects, each is one patient.
        seed: Seed of all random draws.
        spacing_mm: Typical voxel size in mm; the images' voxel sizes scatter around it.
        labels: `stack` writes one soft channel per label, `map` one integer per label.
        unlabelled: Leave out labels and points, as for a cohort that is only registered.
        kind: `pairs` of one patient each, or `subjects`: alternately MR (group `mr`) and
            ultrasound (group `us`), each of another patient, all with the same labels and points.

    Raises:
        InputError: the numbers do not allow a cohort, or the folder holds something else.
    """
    kind_settings = {"pairs": pairs} if kind == "pairs" else {"kind": kind}
    settings = files.canonical({
        "generation": GENERATION, "patients": patients, "seed": seed,
        "spacing_mm": float(spacing_mm), "labels": labels, "unlabelled": unlabelled,
        **kind_settings,
    })  # fmt: skip
    _refuse_nonsense(pairs if kind == "pairs" else patients, patients, seed, spacing_mm)
    _claim(output, settings)
    if _is_whole(output):
        return
    files.write_text(output / RECORD, settings)
    form = None if unlabelled else labels
    if kind == "pairs":
        rows = [
            _pair(output, seed, (index, patients), spacing_mm, form)
            for index in _progress(pairs, "pair")
        ]
        _write_table(output / MANIFEST, COLUMNS, _cells(rows, COLUMNS))
    else:
        rows = [
            _subject(output, seed, index, spacing_mm, form)
            for index in _progress(patients, "subject")
        ]
        _write_table(output / MANIFEST, SUBJECT_COLUMNS, _cells(rows, SUBJECT_COLUMNS))


def _progress(count: int, unit: str) -> Iterable[int]:
    return tqdm(range(count), desc="simulate", unit=unit, disable=None)


def _cells(rows: Iterable[dict[str, str]], columns: Sequence[str]) -> list[list[str]]:
    return [[row.get(column, "") for column in columns] for row in rows]


def _pair(
    output: Path, seed: int, position: tuple[int, int], spacing_mm: float, labels: Form | None
) -> dict[str, str]:
    """Write a pair and its true deformation; return its row of the manifest.

    `position` is the index of the pair, and the number of patients.
    """
    index, patients = position
    patient = _patient(seed, index, patients)
    drawn = _scene(seed, patient, index, spacing_mm)
    name = f"case-{index + 1:03d}"
    row = {"pair": name, "patient": f"patient-{patient + 1:03d}"}
    for side in SIDES:
        paths = _write_side(output, f"{name}-{side}", drawn, side, ([seed, 2, index], labels))
        row |= {f"{side}_{kind}": path for kind, path in paths.items()}
    _write_truth(output / "truth", name, drawn, np.random.default_rng([seed, 3, index]))
    return row


def _subject(
    output: Path, seed: int, index: int, spacing_mm: float, labels: Form | None
) -> dict[str, str]:
    """Write a subject's image, labels and points; return its row of the manifest."""
    side = SIDES[index % 2]
    drawn = _scene(seed, index, index, spacing_mm)
    alike = replace(
        drawn, labelled=dict.fromkeys(SIDES, ALWAYS), sites=tuple(drawn.anatomy.sites())
    )
    name = f"subject-{index + 1:03d}"
    row = {"subject": name, "patient": f"patient-{index + 1:03d}", "group": GROUPS[side]}
    return row | _write_side(output, name, alike, side, ([seed, 2, index], labels))


def _scene(seed: int, patient: int, index: int, spacing_mm: float) -> Scene:
    numbers = (np.random.default_rng([seed, 0, patient]), np.random.default_rng([seed, 1, index]))
    return scene.draw(*numbers, spacing_mm)


def _patient(seed: int, index: int, patients: int) -> int:
    """Return the patient of a pair: one of the first pairs each, then random ones."""
    return (
        index
        if index < patients
        else int(np.random.default_rng([seed, 4, index]).integers(patients))
    )


def _refuse_nonsense(pairs: int, patients: int, seed: int, spacing_mm: float) -> None:
    faults = []
    if not 1 <= patients <= pairs:
        faults.append(
            ("patients", f"{patients} patients cannot have {pairs} pairs", "give from 1 to pairs")
        )
    if seed < 0:
        faults.append(("seed", f"{seed} is negative", "give 0 or more"))
    if not 0.5 <= spacing_mm <= 8:
        faults.append(("spacing_mm", f"{spacing_mm} mm show no prostate", "give 0.5 to 8"))
    if faults:
        raise InputError(
            [Fault("simulate", message, fix, column=column) for column, message, fix in faults]
        )


def _claim(output: Path, settings: str) -> None:
    """Refuse a folder that holds anything but this cohort, complete or incomplete."""
    fix = "name another folder for --output, or delete this one"
    if output.exists() and not output.is_dir():
        raise InputError([Fault(str(output), "is not a folder", fix)])
    if not output.exists() or all(path.name.startswith(".tmp-") for path in output.iterdir()):
        return
    record = output / RECORD
    if not record.is_file():
        raise InputError([Fault(str(output), "holds something other than a simulated cohort", fix)])
    if record.read_text(encoding="utf-8", errors="replace") != settings:
        raise InputError([Fault(str(output), "holds a cohort simulated with other settings", fix)])


def _is_whole(output: Path) -> bool:
    """Whether the manifest and every file that it names exist."""
    if not (output / MANIFEST).is_file():
        return False
    try:
        rows = [cells for _, cells in files.read_table(output / MANIFEST, ())]
    except DataError:
        return False
    named = [cell for row in rows for column, cell in row.items() if column in FILES and cell]
    pairs = [row["pair"] for row in rows if "pair" in row]
    truths = [f"truth/{pair}{ending}" for pair in pairs for ending in (".h5", ".points.tsv")]
    return all((output / name).is_file() for name in named + truths)


def _write_side(
    output: Path, name: str, drawn: Scene, side: Side, how: tuple[Sequence[int], Form | None]
) -> dict[str, str]:
    """Write an image with its labels and points, if requested; return the files by kind.

    Args:
        output: folder of the cohort.
        name: name of the files.
        drawn: the scene.
        side: which of its images to write.
        how: seeds of the image's noise, and the form of labels, or None for no labels.
    """
    seeds, form = how
    affine = drawn.grids[side].affine
    cells = {"image": f"images/{name}.nii.gz"}
    values = drawn.image(side, np.random.default_rng([*seeds, SIDES.index(side)]))
    volumes.write_image(output / cells["image"], values, affine)
    if form is None:
        return cells
    cells["labels"] = f"labels/{name}.nii.gz"
    stack = drawn.labels(side)
    volumes.write_labels(
        output / cells["labels"], scene.label_map(stack) if form == "map" else stack, affine
    )
    if drawn.sites:
        cells["points"] = f"points/{name}.tsv"
        rows = [[label, *_digits(coordinates)] for label, coordinates in drawn.points(side).items()]
        _write_table(output / cells["points"], ("label", "x", "y", "z"), rows)
    return cells


def _write_truth(folder: Path, name: str, drawn: Scene, rng: np.random.Generator) -> None:
    """Write the true transform in ITK format, and truly corresponding points around the gland."""
    corners = drawn.grids["fixed"].corners()
    truth = drawn.deformation.sampled(
        corners.min(axis=0) - 4, corners.max(axis=0) + 4, TRUTH_STEP_MM
    )
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
