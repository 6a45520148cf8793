"""Configuration of metrics of one's own, and what tables and the report know of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tenter.config.custom import NamedCode
from tenter.config.section import Section
from tenter.errors import InvalidValueError

Better = Literal["higher", "lower", "neither"]
Decimals = Annotated[int, Field(ge=0, le=6)]


class MetricDefinition(Section):
    """What tables and the report say of a custom metric."""

    name: str
    """Name in `metrics.tsv`."""
    unit: str = "1"
    """Its unit; `1` for a number without unit."""
    better: Better
    """The direction that is better."""
    of: Literal["label", "field"] = "label"
    """What one value belongs to."""
    title: str = ""
    """Title in the report."""
    decimals: int = 3
    """Digits after the point."""
    meaning: str = ""
    """What it says."""


class CustomMetric(NamedCode):
    """A metric of your own: a function in a Python file or in an installed package.

    Tables call it as the function is called. See docs/how-to/your-own-code.md.
    """

    room: ClassVar[str] = "metrics"

    of: Literal["label", "field"] = "label"
    """What it measures: each label of a pair, or the displacement field of a pair."""
    roles: Annotated[tuple[Literal["structure", "landmark"], ...], Field(min_length=1)] = (
        "structure",
        "landmark",
    )
    """Roles of the labels that it measures."""
    better: Better
    """The direction that is better; pairs that got worse are counted by it."""
    unit: str = Field(default="1", min_length=1)
    """Its unit; `1` for a number without unit."""
    title: str = ""
    """Title in the report; default: the name of the function."""
    decimals: Decimals = 3
    """Digits after the point in the report."""
    meaning: str = ""
    """One sentence in the report on what it says."""

    @model_validator(mode="after")
    def _roles_are_of_labels(self) -> CustomMetric:
        if self.of == "field" and self.roles != type(self).model_fields["roles"].default:
            message = "`roles` are of labels, but `of: field` measures the displacement field"
            raise InvalidValueError(message, "leave `roles` out")
        return self

    @property
    def column(self) -> str:
        """Its name in tables: that of the function."""
        return self.reference.name

    @property
    def measured(self) -> CustomMetric:
        """The same without what only the report reads."""
        return self.model_copy(update={"title": "", "decimals": 3, "meaning": ""})

    def definition(self, *, wording: bool) -> MetricDefinition:
        """What later stages know of it.

        Args:
            wording: whether to include what only the report reads.
        """
        facts = {"name": self.column, "unit": self.unit, "better": self.better, "of": self.of}
        words = {
            "title": self.title or self.column.replace("_", " "),
            "decimals": self.decimals,
            "meaning": self.meaning or f"A metric of this study: {self.reference.portable}.",
        }
        return MetricDefinition.model_validate(facts | (words if wording else {}))
