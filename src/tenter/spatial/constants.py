"""Small constants beside a tensor, made where it lives: an upload would make a GPU's host wait."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Generic, ParamSpec

import torch
from jaxtyping import Float
from torch import Tensor

P = ParamSpec("P")


class Kept(Generic[P]):
    """A function whose tensors are kept between calls, and so must not be written to.

    Args:
        make: makes a tensor from what can be told apart by value; on the device that it is given.
    """

    def __init__(self, make: Callable[P, Tensor]) -> None:
        self._make = make
        self._kept: Callable[P, Tensor] = functools.lru_cache(maxsize=256)(self._lasting)
        functools.update_wrapper(self, make)

    def __call__(self, *values: P.args, **named: P.kwargs) -> Tensor:
        """The tensor, made once."""
        return self._kept(*values, **named)

    def beside(self, like: Tensor) -> Callable[P, Tensor]:
        """This function, for use with a tensor.

        Where arithmetic is counted, played or compiled, tensors are of another kind, and those made
        there are not for later: nothing is kept.
        """
        kept = type(like) is Tensor and not torch.compiler.is_compiling()
        return self if kept else self._make

    def _lasting(self, *values: P.args, **named: P.kwargs) -> Tensor:
        # A tensor made inside inference mode could not take part in a later training step.
        with torch.inference_mode(mode=False), torch.no_grad():
            return self._make(*values, **named)


def numbers(values: Sequence[float] | Sequence[int], like: Tensor) -> Float[Tensor, " n"]:
    """Numbers as a tensor.

    Args:
        values: such as one for each axis.
        like: whose dtype and device the result has.

    Returns:
        `[n]`; kept between calls, so it must not be written to.
    """
    return _numbers.beside(like)(tuple(float(value) for value in values), like.dtype, like.device)


@Kept
def _numbers(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Float[Tensor, " n"]:
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in values])
