"""Frozen records shared by several layers: plain values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Set = Literal["cv", "train", "test"]
"""`cv`: cross-validated; `train`: always used for training; `test`: never."""

JOIN = "--"
"""Joins the two subjects or patients of a pair; no id contains it."""

Role = Literal["structure", "landmark"]
AlignmentRule = Literal["header", "centre", "mass", "file"]
Severity = Literal["ERROR", "WARNING"]

FINAL = "all"
"""Fold of the model that is trained on all patients; it registers no pair of the study."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong: where it is, what it is, and how to fix it.

    Attributes:
        file: the file to open (manifest, configuration or image), or the subject of a fault that
            concerns no file (a device, an address, a flag).
        message: what is wrong.
        fix: what to do about it.
        row: 1-based line of a table, or None.
        column: column name or configuration key, or None.
        severity: errors stop the run, warnings are only reported.
        pair: id of the pair whose work failed, or None.
    """

    file: str
    message: str
    fix: str
    row: int | None = None
    column: str | None = None
    severity: Severity = "ERROR"
    pair: str | None = None

    @property
    def text(self) -> str:
        """One line: `pair: file:row:column: what is wrong; how to fix it`."""
        location = ":".join(
            str(part) for part in (self.file, self.row, self.column) if part is not None
        )
        pair = f"{self.pair}: " if self.pair is not None else ""
        return " ".join(f"{pair}{location}: {self.message}; {self.fix}".splitlines())

    def __str__(self) -> str:
        """The severity and the text."""
        return f"{self.severity} {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePair:
    """A moving and a fixed image; all that image preparation and inference have access to.

    Attributes:
        id: the pair's name, `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`.
        patients: one id, or two for a pair of subjects, the moving image's first.
        moving: file of the moving image.
        fixed: file of the fixed image.
        initial_transform: ITK transform file, fixed to moving points, or None.
        set: cross-validated, always used for training, or never.
        fold: fold chosen by the user, or None.
        stratum: value of the configured stratum column, or None.
        row: 1-based line of the manifest; in a manifest of subjects, of the moving subject.
        fixed_row: line of the fixed subject in a manifest of subjects, else None.
    """

    id: str
    patients: tuple[str, ...]
    moving: Path
    fixed: Path
    initial_transform: Path | None = None
    set: Set = "cv"
    fold: int | None = None
    stratum: str | None = None
    row: int = 0
    fixed_row: int | None = None

    @property
    def patient(self) -> str:
        """The patient, or the two patients joined by `--`."""
        return JOIN.join(self.patients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(ImagePair):
    """An image pair with its anatomical labels and points, if any."""

    moving_labels: Path | None = None
    fixed_labels: Path | None = None
    moving_points: Path | None = None
    fixed_points: Path | None = None

    @property
    def labelled(self) -> bool:
        """Whether both images have labels."""
        return self.moving_labels is not None and self.fixed_labels is not None

    def images(self) -> ImagePair:
        """The same pair without labels and points."""
        return ImagePair(
            id=self.id,
            patients=self.patients,
            moving=self.moving,
            fixed=self.fixed,
            initial_transform=self.initial_transform,
            set=self.set,
            fold=self.fold,
            stratum=self.stratum,
            row=self.row,
            fixed_row=self.fixed_row,
        )

    def files(self) -> tuple[Path, ...]:
        """Every file of the row, images first."""
        paths = (
            self.moving,
            self.fixed,
            self.moving_labels,
            self.fixed_labels,
            self.moving_points,
            self.fixed_points,
            self.initial_transform,
        )
        return tuple(path for path in paths if path is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A row of a manifest of subjects: one image, to be paired with others.

    Attributes:
        id: the subject's name, as that of a pair but with at most 31 characters and no `--`.
        patient: id of the patient; all images of a patient are in the same fold.
        image: file of the image.
        labels: file of its labels, or None.
        points: file of its points, or None.
        group: group for the rules of pairing, such as a modality; may be empty.
        set: cross-validated, always used for training, or never.
        fold: fold chosen by the user, or None.
        stratum: value to be distributed evenly over folds: of the configured column, or the group.
        row: 1-based line of the manifest.
    """

    id: str
    patient: str
    image: Path
    labels: Path | None = None
    points: Path | None = None
    group: str = ""
    set: Set = "cv"
    fold: int | None = None
    stratum: str | None = None
    row: int = 0

    @property
    def patients(self) -> tuple[str, ...]:
        """The patient as a tuple, like `ImagePair.patients`."""
        return (self.patient,)


@dataclass(frozen=True, slots=True)
class Label:
    """An anatomical label: its name, its key in the file, and its role.

    Attributes:
        name: name in the configuration, or `label-<key>` if it has none there.
        key: the value in an integer map, or the channel (from 0) of a stack.
        role: `structure` (measured by overlap) or `landmark` (measured by centroid).
    """

    name: str
    key: int
    role: Role


@dataclass(frozen=True, slots=True)
class Plan:
    """The preparation plan, derived once from the headers of a cohort's images and then fixed.

    Attributes:
        shape: voxels of the common grid along its three axes (R, A, S of the fixed image).
        spacing_mm: voxel size of the common grid.
        intensity: rule that normalises images (`zscore`, `minmax`, `percentile`).
        alignment: rule that places the moving image before any network.
        moving_channels: channels of every moving image.
        fixed_channels: channels of every fixed image.
        cohort: statistics of the cohort behind the plan, for people and to detect drift.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    intensity: str
    alignment: AlignmentRule
    moving_channels: int = 1
    fixed_channels: int = 1
    cohort: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A line of a chunk's table: one file that a job made for one pair.

    Attributes:
        pair: the pair's id.
        file: path relative to the folder the table describes.
        bytes: size of the file.
        sha256: sha256 of the file's content.
        fingerprint: fingerprint of everything that the file was made from.
    """

    pair: str
    file: str
    bytes: int
    sha256: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """A measured value, before (alignment only) and after registration.

    Attributes:
        model: the model's name.
        fold: `0`, `1`, ... or `ensemble`.
        set: `cv` or `test`.
        pair: the pair's id.
        patient: the patient, or two joined by `--`.
        label: the label's name; empty for values of the whole field or pair.
        role: `structure`, `landmark`, `points` or `field`.
        metric: such as `dice`, `tre`, `rms_tre`, `hd95`, `surface_distance`, `folding`.
        unit: `1`, `mm`, `%`, `voxel`.
        before: value with the alignment only; None where it has no meaning.
        after: value with the network's field; None where it could not be measured.
        note: reason why a value is missing or counts as worst (`vanished`, `absent in moving`).
    """

    model: str
    fold: str
    set: Set
    pair: str
    patient: str
    label: str
    role: str
    metric: str
    unit: str
    before: float | None
    after: float | None
    note: str = ""

    @property
    def patients(self) -> tuple[str, ...]:
        """The patient, or the two patients of a pair of subjects, the moving image's first."""
        return tuple(self.patient.split(JOIN))
