"""Small constants beside a tensor, made where it lives: an upload would make a GPU's host wait."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def lasting(like: Tensor) -> bool:
    """Whether a constant made for this tensor may be kept for later ones.

    Where arithmetic is counted, simulated or compiled, tensors are of another kind.
    """
    return type(like) is Tensor and not torch.compiler.is_compiling()


def numbers(values: Sequence[float] | Sequence[int], like: Tensor) -> Float[Tensor, " n"]:
    """Numbers as a tensor.

    Args:
        values: such as one for each axis.
        like: whose dtype and device the result has.

    Returns:
        `[n]`; kept between calls, so it must not be written to.
    """
    make = _numbers if lasting(like) else _numbers.__wrapped__
    return make(tuple(float(value) for value in values), like.dtype, like.device)


@functools.lru_cache(maxsize=256)
def _numbers(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Float[Tensor, " n"]:
    # A tensor made inside inference mode could not take part in a later training step.
    with torch.inference_mode(mode=False), torch.no_grad():
        return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in values])
