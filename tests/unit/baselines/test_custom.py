"""Registration by a function of one's own: the maps that it may return."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tenter import baselines
from tenter.cases.case_files import Grid, PreparedImages
from tenter.config import CustomMethod
from tenter.errors import DataError
from tenter.records import ImagePair
from tenter.spatial.transform import Transform

CODE = """
import numpy as np
import torch
from tenter.spatial.transform import Transform

def array(pair, images):
    return np.full((3, 6, 5, 4), 0.5)

def tensor(pair, images):
    return torch.full((3, 6, 5, 4), 0.5, dtype=torch.float64, requires_grad=True)

def transform(pair, images):
    return Transform(images.alignment, torch.full((1, 3, 6, 5, 4), 0.5), images.affine)

def moved(pair, images):
    return Transform(2 * images.alignment, torch.zeros(1, 3, 6, 5, 4), images.affine)

def batch(pair, images):
    return np.zeros((1, 3, 6, 5, 4))

def nothing(pair, images):
    return None

def hole(pair, images):
    return np.full((3, 6, 5, 4), np.nan)

def failing(pair, images):
    raise ValueError(f"cannot register {pair.id}")
"""
VOXELS = np.zeros((1, 6, 5, 4), dtype=np.float32)
GRID = Grid((6, 5, 4), np.eye(4))
IMAGES = PreparedImages(
    affine=np.diag([2.0, 2.0, 2.0, 1.0]),
    alignment=np.eye(4),
    moving=VOXELS,
    fixed=VOXELS,
    moving_source=GRID,
    fixed_source=GRID,
)
PAIR = ImagePair(id="p1", patients=("a",), moving=Path("m.nii"), fixed=Path("f.nii"))


def registered(folder: Path, name: str) -> Transform:
    path = folder / "mine.py"
    path.write_text(CODE)
    settings = CustomMethod(method=f"{path}:{name}")
    return baselines.load(settings)(PAIR, IMAGES, settings)


@pytest.mark.parametrize("name", ["array", "tensor", "transform"])
def test_a_field_in_voxels_or_a_transform_is_the_map(tmp_path: Path, name: str) -> None:
    transform = registered(tmp_path, name)
    assert transform.field.dtype == torch.float32
    moved = transform.map_points(np.array([[4.0, 4.0, 4.0]]))
    assert moved == pytest.approx(np.array([[5.0, 5.0, 5.0]]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("moved", "returned a transform with another alignment"),
        ("batch", r"returned shape \(1, 3, 6, 5, 4\) instead of a field of shape \(3, 6, 5, 4\)"),
        ("nothing", "returned None instead of a field"),
        ("hole", "values that are not finite"),
        ("failing", r"failed \(ValueError: cannot register p1\)"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        registered(tmp_path, name)
