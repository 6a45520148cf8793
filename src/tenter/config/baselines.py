"""Configuration of baselines, which register pairs without a trained network.

The method called `x` is implemented in `baselines/x.py`, by a function `register` with the settings
of its class here; provenance relies on this to find the modules behind a registration. A method may
also be a reference to custom code. No method has access to labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from tenter.config.alternatives import or_custom
from tenter.config.custom import CustomCode, Reference
from tenter.config.paths import UserPath, written
from tenter.config.section import Section
from tenter.config.yaml_files import beside
from tenter.errors import InvalidValueError

PAIR = "{pair}"
"""Part of a path for which the id of each pair is put."""


class Method(Section):
    """Common to all methods. Each of their keys that is a path names files of the user."""

    def files(self, pair: str) -> tuple[Path, ...]:
        """The user's files that the method reads to register a pair.

        Args:
            pair: id of the pair.
        """
        return tuple(of_pair(path, pair) for _, path in self if isinstance(path, Path))


class Identity(Method):
    """The alignment alone, as before any registration: the least that a method must improve on."""

    method: Literal["identity"] = "identity"
    """The alignment alone."""


class External(Method):
    """Transforms that another program computed, measured as they are: no alignment is added."""

    method: Literal["external"] = "external"
    """Transforms from files."""
    transform: UserPath
    """Path of the transform of each pair, with `{pair}` for its id, relative to this file.

    Any linear ITK transform, displacement field or composite of these (`.h5`, `.tfm`, `.txt`,
    `.mat`), a displacement field as an image (`.nii.gz`, `.mha`, `.nrrd`), or linear transforms of
    elastix: the whole map from fixed to moving points in mm, as registration programs write it."""

    @field_validator("transform")
    @classmethod
    def _differs_between_pairs(cls, path: Path) -> Path:
        if PAIR not in str(path):
            message = "has no `{pair}` in it, so that all pairs would have the same transform"
            fix = "put `{pair}` where the pair's id stands in the name of a file or folder"
            raise InvalidValueError(message, fix)
        return path


class CustomMethod(CustomCode, Method):
    """A method of your own: a function in a Python file or in an installed package.

    See docs/how-to/your-own-code.md.
    """

    key: ClassVar[str] = "method"

    method: Reference
    """Where it is: `<file>.py:<name>`, relative to this file, or `<package.module>:<name>`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its settings, as the code declares them; files that they name are not tracked."""


_BuiltIn = Annotated[Identity | External, Field(discriminator="method")]

if TYPE_CHECKING:
    Baseline = Identity | External | CustomMethod
else:
    Baseline = or_custom(_BuiltIn, CustomMethod, "method")


def of_pair(path: Path, pair: str) -> Path:
    """A path with the id of a pair put into it."""
    return Path(str(path).replace(PAIR, pair))


def relative_to(config: Path, baseline: Baseline) -> Baseline:
    """A baseline whose paths are no longer relative to the configuration file."""
    paths = {key: beside(config, path) for key, path in baseline if isinstance(path, Path)}
    return baseline.model_copy(update=paths)


def as_written(baseline: Baseline) -> Baseline:
    """A baseline with its paths as a configuration would write them, to be parsed again."""
    paths = {key: written(path) for key, path in baseline if isinstance(path, Path)}
    return baseline.model_copy(update=paths)
