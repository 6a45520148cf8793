"""Simulate a cohort of pelvic phantoms, and keep the true deformation of each ultrasound."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tenter.phantoms import cohort
from tenter.phantoms.cohort import Choices, Form


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
    choices = Choices(
        pairs=pairs,
        patients=patients,
        seed=seed,
        spacing_mm=spacing_mm,
        labels=labels,
        unlabelled=unlabelled,
        kind=kind,
    )
    cohort.write(output, choices)
