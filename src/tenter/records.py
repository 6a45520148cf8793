"""The frozen records that cross floors: plain values, no behaviour beyond their text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Set = Literal["cv", "train", "test"]
"""`cv`: cross-validated; `train`: always trained on; `test`: never."""

Role = Literal["structure", "landmark"]
AlignmentRule = Literal["header", "centre", "mass", "file"]
Severity = Literal["ERROR", "WARNING"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the input: where, what, and how to mend it.

    Attributes:
        file: the file to open (manifest, configuration or image).
        message: what is wrong.
        fix: what to do about it.
        row: 1-based line of a table, or None.
        column: column name or configuration key, or None.
        severity: errors stop everything, warnings are only told.
    """

    file: str
    message: str
    fix: str
    row: int | None = None
    column: str | None = None
    severity: Severity = "ERROR"

    def __str__(self) -> str:
        """One line: `ERROR file:row:column: what is wrong; how to fix it`."""
        place = ":".join(str(part) for part in (self.file, self.row, self.column) if part is not None)
        return f"{self.severity} {place}: {self.message}; {self.fix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePair:
    """A moving and a fixed image; all that preparation of images and inference ever see.

    Attributes:
        id: the pair's name, `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`.
        patients: one id, or two for a pair of subjects, the moving image's first.
        moving: file of the moving image.
        fixed: file of the fixed image.
        initial_transform: ITK transform file, fixed to moving points, or None.
        set: cross-validated, always trained on, or never.
        fold: the user's own fold, or None.
        stratum: value of the configured stratum column, or None.
        row: 1-based line of the manifest; of the moving subject, where it is one of subjects.
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
        return "--".join(self.patients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(ImagePair):
    """An image pair with its anatomical labels and points, where there are any."""

    moving_labels: Path | None = None
    fixed_labels: Path | None = None
    moving_points: Path | None = None
    fixed_points: Path | None = None

    @property
    def labelled(self) -> bool:
        """Whether both sides have labels."""
        return self.moving_labels is not None and self.fixed_labels is not None

    def images(self) -> ImagePair:
        """The same pair without any label or point."""
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
        some = (
            self.moving,
            self.fixed,
            self.moving_labels,
            self.fixed_labels,
            self.moving_points,
            self.fixed_points,
            self.initial_transform,
        )
        return tuple(path for path in some if path is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A row of a manifest of subjects: one image, to be paired with others.

    Attributes:
        id: the subject's name, as a pair's but with at most 31 characters and no `--`.
        patient: who it is of; all images of a patient stay together.
        image: file of the image.
        labels: file of its labels, or None.
        points: file of its points, or None.
        group: what decides who is paired with whom, such as a modality; may be empty.
        set: cross-validated, always trained on, or never.
        fold: the user's own fold, or None.
        stratum: what is spread evenly over folds: the configured column's value, else the group.
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
        """The patient, as a pair has one or two."""
        return (self.patient,)


@dataclass(frozen=True, slots=True)
class Label:
    """One anatomical label: its name, its key in the file, and what it is.

    Attributes:
        name: as in the configuration, or `label-<key>` for one that it does not name.
        key: the value in an integer map, or the channel (from 0) of a stack.
        role: `structure` (measured by overlap) or `landmark` (measured by centroid).
    """

    name: str
    key: int
    role: Role


@dataclass(frozen=True, slots=True)
class Plan:
    """What is derived once from a cohort's headers and then stays.

    Attributes:
        shape: voxels of the common grid along its three axes (R, A, S of the fixed image).
        spacing_mm: the common grid's voxel size.
        intensity: rule that normalises images (`zscore`, `minmax`, `percentile`).
        alignment: rule that places the moving image before any network.
        moving_channels: channels of every moving image.
        fixed_channels: channels of every fixed image.
        cohort: figures of the cohort the plan was made from, for people and for drift.
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
        sha256: of the file's content.
        fingerprint: of everything the file was made from.
    """

    pair: str
    file: str
    bytes: int
    sha256: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One measured figure, before (alignment alone) and after registration.

    Attributes:
        model: the model's name.
        fold: `0`, `1`, ... or `ensemble`.
        set: `cv` or `test`.
        pair: the pair's id.
        patient: the patient, or two joined by `--`.
        label: the label's name; empty for figures of the whole field or pair.
        role: `structure`, `landmark`, `points` or `field`.
        metric: such as `dice`, `tre`, `rms_tre`, `hd95`, `surface_distance`, `folding`.
        unit: `1`, `mm`, `%`, `voxel`.
        before: with the alignment alone; None where it has no meaning.
        after: with the network's field; None where it could not be measured.
        note: why a figure is absent or counts as worst (`vanished`, `absent in moving`).
    """

    model: str
    fold: str
    set: str
    pair: str
    patient: str
    label: str
    role: str
    metric: str
    unit: str
    before: float | None
    after: float | None
    note: str = ""
