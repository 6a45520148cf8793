"""Model selection and early stopping by the validation measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tenter.config import Validation
from tenter.errors import TrainingError
from tenter.records import Fault


class Selection:
    """The best validation so far, its weights if they are kept, and the validations since.

    The validation of the untrained network does not count. A measure that is not finite is never
    an improvement.

    Args:
        validation: measure, which weights to keep, and patience.
    """

    def __init__(self, validation: Validation) -> None:
        self._name = f"val_{validation.measure}"
        self._sign = 1.0 if validation.measure == "tre_mm" else -1.0
        self._validation = validation
        self._best = math.inf
        self._since = 0
        self._step = -1
        self._weights: dict[str, Tensor] | None = None

    @property
    def needed(self) -> bool:
        """Whether anything depends on the validations."""
        return self._validation.keep == "best" or self._validation.patience is not None

    @property
    def enough(self) -> bool:
        """Whether patience is exhausted: that many validations in a row brought no improvement."""
        patience = self._validation.patience
        return patience is not None and self._since >= patience

    def look(self, figures: Mapping[str, float], model: nn.Module, step: int) -> None:
        """Take the figures of a validation and the weights that were measured.

        Args:
            figures: `val_tre_mm`, `val_dice`, `val_soft_dice`, as far as they could be measured.
            model: the network that was measured.
            step: steps done.

        Raises:
            TrainingError: the configured measure is not among the figures.
        """
        if not self.needed:
            return
        if self._name not in figures:
            kind = "landmark" if self._validation.measure == "tre_mm" else "structure"
            message = (
                f"is {self._validation.measure}, but the patients that are set aside have no {kind}"
            )
            fix = "choose another measure, or set validation.keep to last without patience"
            raise TrainingError(Fault("validation.measure", message, fix))
        if step == 0:
            return
        value = self._sign * figures[self._name]
        if value < self._best:
            self._best, self._since, self._step = value, 0, step
            if self._validation.keep == "best":
                self._weights = {
                    name: tensor.detach().cpu().clone()
                    for name, tensor in model.state_dict().items()
                }
        else:
            self._since += 1

    def chosen(self, model: nn.Module, step: int) -> tuple[dict[str, Tensor], int]:
        """The weights that become the model, and the step that they are of.

        Args:
            model: as the last step left it.
            step: steps done.
        """
        if self._weights is None:
            return dict(model.state_dict()), step
        return self._weights, self._step

    def state(self) -> dict[str, Any]:
        """Everything that the next validation depends on: plain values and tensors."""
        return {
            "best": self._best,
            "since": self._since,
            "step": self._step,
            "weights": self._weights,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state`."""
        self._best, self._since, self._step = state["best"], state["since"], state["step"]
        self._weights = state["weights"]
