"""Configuration of the cohort: labels, plan, folds and chunks."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tenter.config.section import Section
from tenter.records import AlignmentRule, Label, Role

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
IntensityRule = Literal["zscore", "minmax", "percentile"]


class NamedLabel(Section):
    """A label that has a name."""

    name: Name
    """Name of the structure, as it shall stand in tables and plots."""
    key: Annotated[int, Field(ge=0)]
    """Value in an integer map (from 1), or channel of a 4-D stack (from 0)."""
    role: Role = "landmark"
    """`structure`: measured by overlap and surface; `landmark`: by its centroid."""
    mirror: Name | None = None
    """Name of the label that it turns into when left and right are exchanged; default: itself.

    To be said of one of the two; used where a model's `augmentation.mirror` is on."""


class LabelFiles(Section):
    """How label files are read, and what their labels are called."""

    format: Literal["map", "stack"] = "map"
    """`map`: one integer value a label; `stack`: one channel a label (4-D, or 3-D when there is one)."""
    names: tuple[NamedLabel, ...] = ()
    """Labels with a name and a role; all others are landmarks called `label-<key>`."""

    @model_validator(mode="after")
    def _labels_differ(self) -> LabelFiles:
        for what, values in (
            ("name", [named.name.casefold() for named in self.names]),
            ("key", [named.key for named in self.names]),
        ):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                message = f"names: two labels have the {what} {twice[0]!r}; give each label its own {what}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _twins_are_two(self) -> LabelFiles:
        known = {named.name for named in self.names}
        for named in self.names:
            if named.mirror is not None and (named.mirror not in known or named.mirror == named.name):
                message = (
                    f"names: {named.name!r} has the mirror {named.mirror!r}, which is not another label's "
                    "name; add that label to `names`, or correct the mirror"
                )
                raise ValueError(message)
        said = Counter(name for twins in self.twins for name in twins)
        doubled = sorted(name for name, count in said.items() if count > 1)
        if doubled:
            fix = "give `mirror` for one label of each two, as the other's name"
            message = f"names: {', '.join(doubled)} would have more than one mirror; {fix}"
            raise ValueError(message)
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
        """The label that a key of the files stands for."""
        for named in self.names:
            if named.key == key:
                return Label(named.name, named.key, named.role)
        return Label(f"label-{key}", key, "landmark")


class PlanRules(Section):
    """What overrides the plan that is derived from the cohort's headers."""

    spacing_mm: Positive | tuple[Positive, Positive, Positive] | None = None
    """Voxel size of the common grid in mm (one number: isotropic).

    Default: the median of the fixed images."""
    shape: Annotated[tuple[int, int, int], Field(min_length=3)] | None = None
    """Voxels of the common grid; default: as many as cover every fixed image."""
    intensity: IntensityRule = "zscore"
    """How each image is normalised: `zscore`, `minmax` to [0, 1], or `percentile` (1st to 99th to [0, 1])."""
    alignment: AlignmentRule = "header"
    """Where the moving image is placed before any network.

    By the `header`; volume `centre` on volume centre; centre of `mass` on centre of mass (intensities
    above each image's minimum); or by the `file` that `initial_transform` names. Where there are labels,
    `tenter check` says how well they overlap by `header` and by `centre`."""


class Pairing(Section):
    """Which pairs are made of a manifest of subjects; of no effect on a manifest of pairs."""

    kind: Literal["paired", "subjects"] | None = None
    """What the manifest holds: image pairs, or subjects that are paired here.

    Its columns say it in any case; a `kind` that differs is refused."""
    pairs_per_subject: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Pairs that each subject takes part in at least, drawn at random; default: all pairs there can be.

    Drawn pairs are remembered beside the configuration: a new subject adds pairs and changes none."""
    groups: Literal["within", "between", "mixed"] = "mixed"
    """Whether the two subjects of a pair have the same `group`, different ones, or any."""
    forward: tuple[str, ...] = ()
    """Groups in the order in which images move: of two groups the earlier one's is the moving image.

    Default, and within a group: each direction is a pair of its own."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the draw."""

    @model_validator(mode="after")
    def _forward_is_an_order(self) -> Pairing:
        if len(self.forward) == 1 or len(set(self.forward)) < len(self.forward):
            message = "`forward` does not order groups; name two or more groups, each once"
            raise ValueError(message)
        if self.forward and self.groups == "within":
            message = (
                "`forward` orders pairs of two groups, but `groups: within` makes none; "
                "leave one of the two keys out"
            )
            raise ValueError(message)
        return self


class Folds(Section):
    """How patients are dealt to folds."""

    count: Annotated[int, Field(ge=2, le=100)] = 5
    """Number of folds."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the first deal; later patients go to the fold with the fewest pairs."""


class Chunks(Section):
    """How pairs are dealt to jobs."""

    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Jobs per fold that preparation, registration and evaluation are split into.

    Aim at 20 to 100 pairs each."""
