"""Small constant tensors, created on the device: copying from the host would synchronise a GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Generic, ParamSpec

import torch
from jaxtyping import Float
from torch import Tensor

P = ParamSpec("P")


class Kept(Generic[P]):
    """A function whose tensors are cached, and so must not be modified.

    Args:
        make: creates a tensor from hashable arguments, on the device among them.
    """

    def __init__(self, make: Callable[P, Tensor]) -> None:
        self._make = make
        self._cached: Callable[P, Tensor] = functools.lru_cache(maxsize=256)(
            self._make_for_training
        )
        functools.update_wrapper(self, make)

    def __call__(self, *values: P.args, **named: P.kwargs) -> Tensor:
        """The cached tensor."""
        return self._cached(*values, **named)

    def beside(self, like: Tensor) -> Callable[P, Tensor]:
        """This function, for use together with a tensor.

        While operations are counted, traced or compiled, tensors are of special types that must
        not be reused later, so nothing is cached.
        """
        cacheable = type(like) is Tensor and not torch.compiler.is_compiling()
        return self if cacheable else self._make

    def _make_for_training(self, *values: P.args, **named: P.kwargs) -> Tensor:
        # A tensor created in inference mode could not be used in a later training step.
        with torch.inference_mode(mode=False), torch.no_grad():
            return self._make(*values, **named)


def numbers(values: Sequence[float] | Sequence[int], like: Tensor) -> Float[Tensor, " n"]:
    """Numbers as a tensor.

    Args:
        values: such as one for each axis.
        like: defines the dtype and device of the result.

    Returns:
        `[n]`; cached, so it must not be modified.
    """
    return _numbers.beside(like)(tuple(float(value) for value in values), like.dtype, like.device)


@Kept
def _numbers(
    values: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> Float[Tensor, " n"]:
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in values])
