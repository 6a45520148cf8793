"""The rules by which a study derives its common grid, and whether a recorded plan follows them."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from tenter import files, finished, launching, provenance
from tenter.config import Config, PlanRules
from tenter.errors import InputError
from tenter.finished import FinishedModel


@dataclass(frozen=True, eq=False)
class StudyPlan:
    """The plan that a study needs: by its configuration, or that of an applied model.

    Attributes:
        settings: the validated configuration.
        config: its file.
        model: the finished model that registers this cohort, or None.
    """

    settings: Config
    config: Path
    model: FinishedModel | None

    @functools.cached_property
    def rules(self) -> PlanRules:
        """Rules of the plan: those of the configuration, or of the applied model's plan.

        Raises:
            InputError: the configuration's `plan` contradicts the model.
        """
        if self.model is None:
            return self.settings.plan
        faults = finished.conflicts(self.settings.plan, self.model, self.config)
        if faults:
            raise InputError(faults)
        return self.model.rules

    def is_current(self, plan: Path) -> bool:
        """Whether a plan was derived by the current rules, or is that of the applied model.

        A plan of results in an earlier layout is not: a new one makes all that follows again.
        """
        recorded = provenance.recorded(plan) if plan.is_file() else None
        rules = json.loads(files.canonical(self.rules.model_dump(mode="json")))
        if recorded is None or recorded["settings"] != rules:
            return False
        if recorded.get("layout") != provenance.LAYOUT:
            return False
        return self.model is None or finished.is_plan(plan, self.model)

    def model_flags(self) -> list[str]:
        """Flags of `plan` that name an applied model; they change only when its plan does."""
        if self.model is None:
            return []
        return launching.flags({"model": self.model.folder, "model-plan": self.model.digest})
