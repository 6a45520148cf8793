"""Which weights become the model, and when a training has learnt enough: by what is watched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tenter.config import Validation
from tenter.errors import TrainingError


class Selection:
    """The best look so far, its weights where they are to be kept, and how many looks since.

    The untrained network's look does not count. A measure that is not finite is no better than any.

    Args:
        validation: measure, what is kept, and patience.
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
        """Whether anything depends on the looks."""
        return self._validation.keep == "best" or self._validation.patience is not None

    @property
    def enough(self) -> bool:
        """Whether as many looks in a row as patience allows were no better than the best."""
        patience = self._validation.patience
        return patience is not None and self._since >= patience

    def look(self, figures: Mapping[str, float], model: nn.Module, step: int) -> None:
        """Take a look's figures, and the weights that they are of.

        Args:
            figures: `val_tre_mm`, `val_dice`, `val_soft_dice`, as far as they could be measured.
            model: that was measured.
            step: steps done.

        Raises:
            TrainingError: there is nothing to select by.
        """
        if not self.needed:
            return
        if self._name not in figures:
            kind = "landmark" if self._validation.measure == "tre_mm" else "structure"
            message = (
                f"validation.measure is {self._validation.measure}, but the patients that are set aside "
                f"have no {kind}; choose another measure, or set validation.keep to last without patience"
            )
            raise TrainingError(message)
        if step == 0:
            return
        value = self._sign * figures[self._name]
        if value < self._best:
            self._best, self._since, self._step = value, 0, step
            if self._validation.keep == "best":
                self._weights = {
                    name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()
                }
        else:
            self._since += 1

    def chosen(self, model: nn.Module, step: int) -> tuple[dict[str, Tensor], int]:
        """The weights that become the model, and after how many steps they were so.

        Args:
            model: as the last step left it.
            step: steps done.
        """
        if self._weights is None:
            return dict(model.state_dict()), step
        return self._weights, self._step

    def state(self) -> dict[str, Any]:
        """Everything that the next look depends on: plain values and tensors."""
        return {"best": self._best, "since": self._since, "step": self._step, "weights": self._weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._best, self._since, self._step = state["best"], state["since"], state["step"]
        self._weights = state["weights"]
