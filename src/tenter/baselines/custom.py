"""Registration by a function of one's own, in a Python file or in an installed package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tenter import plugin_imports
from tenter.cases.case_files import PreparedImages
from tenter.config import CustomMethod
from tenter.errors import DataError
from tenter.records import Fault, ImagePair
from tenter.spatial.transform import Transform

FIX = "correct the function: docs/how-to/your-own-code.md says what it takes and returns"


def custom(settings: CustomMethod) -> Callable[[ImagePair, PreparedImages, Any], Transform]:
    """The function of a method of one's own, as that of a built-in one.

    Raises:
        InputError: it cannot be imported, or its settings are not valid.
    """
    reference = settings.reference
    code = plugin_imports.load(reference)
    arguments = plugin_imports.arguments(reference, code, settings.settings)

    def register(pair: ImagePair, images: PreparedImages, _: object) -> Transform:
        try:
            result = code(pair, images, **arguments)
        except DataError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise _fault(settings, f"failed ({type(error).__name__}: {reason})") from error
        return _transform(settings, result, images)

    return register


def _transform(settings: CustomMethod, result: object, images: PreparedImages) -> Transform:
    """The map that a function returned: a transform, or a field on the case grid.

    Raises:
        DataError: it is neither, not finite, or has another alignment.
    """
    if not isinstance(result, Transform):
        field = _field(settings, result, images.fixed.shape[1:])
        result = Transform(images.alignment, field[None], images.affine)
    if not np.array_equal(result.alignment, images.alignment):
        raise _fault(settings, "returned a transform with another alignment than the images'")
    if not bool(torch.isfinite(result.field).all()):
        raise _fault(settings, "returned a field with values that are not finite")
    return result


def _field(settings: CustomMethod, result: object, shape: tuple[int, ...]) -> torch.Tensor:
    expected = (3, *shape)
    is_array = isinstance(result, np.ndarray | torch.Tensor)
    if not isinstance(result, np.ndarray | torch.Tensor) or tuple(result.shape) != expected:
        given = f"shape {tuple(getattr(result, 'shape', ()))}" if is_array else f"{result!r:.60}"
        raise _fault(settings, f"returned {given} instead of a field of shape {expected}")
    return torch.as_tensor(result).detach().to(dtype=torch.float32, device="cpu")


def _fault(settings: CustomMethod, message: str) -> DataError:
    return DataError(Fault(settings.reference.portable, message, FIX))
