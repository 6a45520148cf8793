"""The files of a simulated cohort: images, labels, points, true deformations, and the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
COLUMNS: tuple[str, ...] = (
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a cohort should contain.

    Attributes:
        pairs: number of image pairs; ignored for subjects.
        patients: number of patients; of subjects, each is one patient.
        seed: of all random draws.
        spacing_mm: typical voxel size.
        labels: form of the label files.
        unlabelled: leave out labels and points.
        kind: `pairs` of one patient each, or `subjects`.
    """

    pairs: int
    patients: int
    seed: int
    spacing_mm: float
    labels: Form
    unlabelled: bool
    kind: Literal["pairs", "subjects"]

    @property
    def form(self) -> Form | None:
        """Form of the label files; None for no labels."""
        return None if self.unlabelled else self.labels

    def record(self) -> str:
        """JSON of everything that the files depend on."""
        return files.canonical({
            "generation": GENERATION, "patients": self.patients, "seed": self.seed,
            "spacing_mm": float(self.spacing_mm), "labels": self.labels,
            "unlabelled": self.unlabelled,
            **({"pairs": self.pairs} if self.kind == "pairs" else {"kind": self.kind}),
        })  # fmt: skip


def write(output: Path, choices: Choices) -> None:
    """Write a cohort, unless its folder holds it already.

    Args:
        output: folder of the cohort.
        choices: what it should contain.

    Raises:
        InputError: the numbers do not allow a cohort, or the folder holds something else.
    """
    _refuse_impossible(choices)
    record = choices.record()
    _claim(output, record)
    if _is_whole(output):
        return
    files.write_text(output / RECORD, record)
    if choices.kind == "pairs":
        count, columns, write_row = choices.pairs, COLUMNS, _pair
    else:
        count, columns, write_row = choices.patients, SUBJECT_COLUMNS, _subject
    indices = tqdm(range(count), desc="simulate", unit=choices.kind[:-1], disable=None)
    rows = [write_row(output, choices, index) for index in indices]
    _write_table(
        output / MANIFEST, columns, [[row.get(column, "") for column in columns] for row in rows]
    )


def _pair(output: Path, choices: Choices, index: int) -> dict[str, str]:
    """Write a pair and its true deformation; return its row of the manifest."""
    seed = choices.seed
    patient = _patient(seed, index, choices.patients)
    drawn = _scene(seed, patient, index, choices.spacing_mm)
    name = f"case-{index + 1:03d}"
    row = {"pair": name, "patient": f"patient-{patient + 1:03d}"}
    for side in SIDES:
        how = ([seed, 2, index], choices.form)
        paths = _write_side(output, f"{name}-{side}", drawn, side, how)
        row |= {f"{side}_{kind}": path for kind, path in paths.items()}
    _write_truth(output / "truth", name, drawn, np.random.default_rng([seed, 3, index]))
    return row


def _subject(output: Path, choices: Choices, index: int) -> dict[str, str]:
    """Write a subject's image, labels and points; return its row of the manifest."""
    side = SIDES[index % 2]
    drawn = _scene(choices.seed, index, index, choices.spacing_mm)
    alike = replace(
        drawn, labelled=dict.fromkeys(SIDES, ALWAYS), sites=tuple(drawn.anatomy.sites())
    )
    name = f"subject-{index + 1:03d}"
    row = {"subject": name, "patient": f"patient-{index + 1:03d}", "group": GROUPS[side]}
    how = ([choices.seed, 2, index], choices.form)
    return row | _write_side(output, name, alike, side, how)


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


def _refuse_impossible(choices: Choices) -> None:
    patients, seed, spacing_mm = choices.patients, choices.seed, choices.spacing_mm
    pairs = choices.pairs if choices.kind == "pairs" else patients
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
