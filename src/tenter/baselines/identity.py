"""The alignment alone: nothing is registered."""

from __future__ import annotations

import torch

from tenter.cases.case_files import PreparedImages
from tenter.config import Identity
from tenter.records import ImagePair
from tenter.spatial.transform import Transform


def register(_: ImagePair, images: PreparedImages, __: Identity) -> Transform:
    """A field of zeros on the case grid, and the alignment."""
    field = torch.zeros(1, 3, *images.fixed.shape[1:])
    return Transform(images.alignment, field, images.affine)
