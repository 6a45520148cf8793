"""Configuration of the cohort: labels, plan, folds and chunks."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tenter.config.section import Section
from tenter.errors import InvalidValueError
from tenter.records import AlignmentRule, Label, Role

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
IntensityRule = Literal["zscore", "minmax", "percentile"]


class NamedLabel(Section):
    """A label that has a name."""

    name: Name
    """Name of the structure in tables and plots."""
    key: Annotated[int, Field(ge=0)]
    """Value in an integer map (from 1), or channel of a 4-D stack (from 0)."""
    role: Role = "landmark"
    """`structure`: measured by overlap and surface; `landmark`: by its centroid."""
    mirror: Name | None = None
    """Name of the label that this one becomes when left and right are exchanged; default: itself.

    Give it for one label of each such two; used where a model's `augmentation.mirror` is on."""


class LabelFiles(Section):
    """How label files are read, and what their labels are called."""

    format: Literal["map", "stack"] = "map"
    """`map`: one integer value for each label; `stack`: one channel for each label.

    A stack is 4-D, or 3-D with a single label."""
    names: tuple[NamedLabel, ...] = ()
    """Labels with a name and a role; any other label is a landmark named `label-<key>`."""

    @model_validator(mode="after")
    def _labels_differ(self) -> LabelFiles:
        for attribute, values in (
            ("name", [named.name.casefold() for named in self.names]),
            ("key", [named.key for named in self.names]),
        ):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                message = f"names: two labels have the {attribute} {twice[0]!r}"
                raise InvalidValueError(message, f"give each label its own {attribute}")
        return self

    @model_validator(mode="after")
    def _twins_are_two(self) -> LabelFiles:
        known = {named.name for named in self.names}
        for named in self.names:
            if named.mirror is not None and (
                named.mirror not in known or named.mirror == named.name
            ):
                message = (
                    f"names: {named.name!r} has the mirror {named.mirror!r}, which is not "
                    "another label's name"
                )
                raise InvalidValueError(message, "add that label to `names`, or correct the mirror")
        counts = Counter(name for twins in self.twins for name in twins)
        doubled = sorted(name for name, count in counts.items() if count > 1)
        if doubled:
            fix = "give `mirror` for one label of each two, as the other's name"
            message = f"names: {', '.join(doubled)} would have more than one mirror"
            raise InvalidValueError(message, fix)
        return self

    @property
    def twins(self) -> tuple[tuple[str, str], ...]:
        """Names of labels that are each other's mirror image, sorted."""
        pairs = {
            (min(named.name, named.mirror), max(named.name, named.mirror))
            for named in self.names
            if named.mirror
        }
        return tuple(sorted(pairs))

    def label(self, key: int) -> Label:
        """The label with this key in the label files."""
        for named in self.names:
            if named.key == key:
                return Label(named.name, named.key, named.role)
        return Label(f"label-{key}", key, "landmark")


class PlanRules(Section):
    """Settings that override the plan, which is derived from the headers of the cohort's images."""

    spacing_mm: Positive | tuple[Positive, Positive, Positive] | None = None
    """Voxel size of the common grid in mm (one number: isotropic).

    Default: the median of the fixed images."""
    shape: Annotated[tuple[int, int, int], Field(min_length=3)] | None = None
    """Voxels of the common grid along each axis; default: enough to cover every fixed image."""
    intensity: IntensityRule = "zscore"
    """How the intensities of each image are normalised.

    `zscore`: to mean 0 and standard deviation 1; `minmax`: to [0, 1]; `percentile`: the 1st to the
    99th percentile to [0, 1]."""
    alignment: AlignmentRule = "header"
    """How the moving image is placed before the network runs.

    `header`: trust the scanner coordinates in the headers; `centre`: align the centres of the
    volumes; `mass`: align the centres of mass (of intensities above each image's minimum); `file`:
    apply the manifest's `initial_transform`. Where there are labels, `tenter check` reports how
    well they overlap under `header` and under `centre`."""


class Pairing(Section):
    """Which pairs are formed from a manifest of subjects; no effect on a manifest of pairs."""

    kind: Literal["paired", "subjects"] | None = None
    """What the manifest lists: image pairs (`paired`), or `subjects` to be paired by these rules.

    The columns of the manifest decide; a `kind` that contradicts them is an error."""
    pairs_per_subject: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Minimum number of pairs of each subject, drawn at random; default: all possible pairs.

    Drawn pairs are recorded in a file beside the configuration: a new subject adds pairs and leaves
    the existing ones as they are."""
    groups: Literal["within", "between", "mixed"] = "mixed"
    """Whether the two subjects of a pair have the same `group`, different groups, or any."""
    forward: tuple[str, ...] = ()
    """Order of the groups: the image of the earlier group of a pair is the moving image.

    Default, and within a group: each direction is a separate pair."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the random draw."""

    @model_validator(mode="after")
    def _forward_is_an_order(self) -> Pairing:
        if len(self.forward) == 1 or len(set(self.forward)) < len(self.forward):
            message = "`forward` does not order groups"
            raise InvalidValueError(message, "name two or more groups, each once")
        if self.forward and self.groups == "within":
            message = "`forward` orders pairs of two groups, but `groups: within` makes none"
            raise InvalidValueError(message, "leave one of the two keys out")
        return self


class Folds(Section):
    """How patients are assigned to folds."""

    count: Annotated[int, Field(ge=2, le=100)] = 5
    """Number of folds."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the first assignment; later patients join the fold with the fewest pairs."""


class Chunks(Section):
    """How pairs are distributed over jobs."""

    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Jobs into which preparation, registration and evaluation of each fold are split.

    Aim for 20 to 100 pairs in each."""
