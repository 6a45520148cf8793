"""Cohorts of the short studies: each kind is simulated once, and the others are made of these."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from builders.short_study import SPACING_MM, ShortStudy
from tenter.stages.simulate import simulate

FORWARD = ("mr", "us")


class Cohorts:
    """Prepared studies by the names of their cohorts, each made when it is first asked for.

    Args:
        folder: of all of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study = functools.cache(self._study)

    def _study(self, name: str) -> ShortStudy:
        manifest, pairing = COHORTS[name](self)
        return ShortStudy(manifest, self.folder / "results" / name, pairing=pairing)

    @functools.cached_property
    def pairs(self) -> Path:
        """Manifest of MR and ultrasound of 96 patients."""
        simulate(self.folder / "pairs", pairs=96, patients=96, seed=1, spacing_mm=SPACING_MM)
        return self.folder / "pairs/manifest.tsv"

    @functools.cached_property
    def subjects(self) -> Path:
        """Manifest of MR of 24 patients and ultrasound of 24 others."""
        simulate(
            self.folder / "subjects", kind="subjects", patients=48, seed=1, spacing_mm=SPACING_MM
        )
        return self.folder / "subjects/manifest.tsv"

    @functools.cached_property
    def alike(self) -> Path:
        """Manifest of pairs of one modality: fixed images show MR as truly deformed."""
        return _shown(self.pairs, "alike", np.asarray)

    @functools.cached_property
    def unlike(self) -> Path:
        """Manifest of pairs of two modalities with the same edges: bright and dark look alike."""
        return _shown(self.pairs, "unlike", lambda values: np.abs(values - 450))


Made = tuple[Path, Mapping[str, object]]

COHORTS: Mapping[str, Callable[[Cohorts], Made]] = {
    "paired": lambda cohort: (cohort.pairs, {}),
    "alike": lambda cohort: (cohort.alike, {}),
    "unlike": lambda cohort: (cohort.unlike, {}),
    "partly labelled": lambda cohort: (_partly_labelled(cohort.alike, every=2), {}),
    "all": lambda cohort: (_first(cohort.subjects, 20), {}),
    "random": lambda cohort: (cohort.subjects, {"pairs_per_subject": 12}),
    "within": lambda cohort: (cohort.subjects, {"pairs_per_subject": 12, "groups": "within"}),
    "between": lambda cohort: (
        cohort.subjects,
        {"pairs_per_subject": 12, "groups": "between", "forward": FORWARD},
    ),
    "mixed": lambda cohort: (cohort.subjects, {"pairs_per_subject": 12, "forward": FORWARD}),
    "partly labelled subjects": lambda cohort: (
        _partly_labelled(cohort.subjects, every=3),
        {"pairs_per_subject": 16, "groups": "between", "forward": FORWARD},
    ),
    "one-sided labels": lambda cohort: (
        _one_sided(cohort.subjects),
        {"pairs_per_subject": 16, "groups": "between", "forward": FORWARD},
    ),
}
"""The manifest behind each name, and how its subjects are paired."""


def _shown(pairs: Path, name: str, contrast: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A manifest whose fixed images are the moving ones, deformed as truly, in some contrast."""
    folder = pairs.parent
    (folder / name).mkdir()
    rows = _read(pairs)
    for row in rows:
        moving = sitk.ReadImage(str(folder / row["moving_image"]), sitk.sitkFloat32)
        fixed = sitk.ReadImage(str(folder / row["fixed_image"]))
        truth = sitk.ReadTransform(str(folder / f"truth/{row['pair']}.h5"))
        warped = sitk.Resample(moving, fixed, truth, sitk.sitkLinear, 0.0)
        image = sitk.GetImageFromArray(contrast(sitk.GetArrayFromImage(warped)))
        image.CopyInformation(warped)
        row["fixed_image"] = f"{name}/{row['pair']}.nii.gz"
        sitk.WriteImage(image, str(folder / row["fixed_image"]))
    return _write(folder / f"{name}.tsv", rows)


def _partly_labelled(manifest: Path, every: int) -> Path:
    """A manifest of the same cohort in which one row of `every` has no labels."""
    rows = [
        {
            column: "" if "labels" in column and index % every == 0 else cell
            for column, cell in row.items()
        }
        for index, row in enumerate(_read(manifest))
    ]
    return _write(manifest.with_name(f"partly-{manifest.name}"), rows)


def _one_sided(manifest: Path) -> Path:
    """A manifest of the same subjects of whom a third lack the gland's label,
    and another the bladder's.
    """
    folder = manifest.parent
    (folder / "one-sided").mkdir()
    rows = _read(manifest)
    for index, row in enumerate(rows):
        labels = nib.nifti1.Nifti1Image.from_filename(folder / row["labels"])
        stack = np.asarray(labels.dataobj).copy()
        if index % 3 < 2:
            stack[..., index % 3] = 0
        row["labels"] = f"one-sided/{row['subject']}.nii.gz"
        nib.save(
            nib.nifti1.Nifti1Image(stack, labels.affine, labels.header), folder / row["labels"]
        )
    return _write(folder / "one-sided.tsv", rows)


def _first(manifest: Path, count: int) -> Path:
    """A manifest of the same cohort's first rows."""
    return _write(manifest.with_name(f"first-{count}.tsv"), _read(manifest)[:count])


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path
