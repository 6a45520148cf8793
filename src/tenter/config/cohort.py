"""Configuration of the cohort: labels, plan, folds and chunks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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


class LabelFiles(Section):
    """How label files are read, and what their labels are called."""

    format: Literal["map", "stack"] = "map"
    """`map`: one integer value a label; `stack`: one channel a label (4-D, or 3-D when there is one)."""
    names: tuple[NamedLabel, ...] = ()
    """Labels with a name and a role; all others are landmarks called `label-<key>`."""

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

    By the `header`, volume `centre` on volume centre, or by the `file` that `initial_transform` names."""


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
