from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tenter.reporting import panels

SHAPE = (10, 12, 8)


def scene(
    shape: tuple[int, int, int] = SHAPE, labels: int = 1, field: np.ndarray | None = None
) -> panels.Scene:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(float)
    label = np.zeros((labels, *shape))
    label[:, 2:5, 4:9, 3:6] = 1
    return panels.Scene(
        fixed=grid[0],
        moving=grid[1],
        warped=grid[2],
        field=np.zeros((3, *shape)) if field is None else field,
        spacing_mm=(1.0, 2.0, 3.0),
        fixed_labels=label,
        moving_labels=np.roll(label, 1, axis=2),
        warped_labels=label,
        structures=min(labels, 1),
    )


def pictures(drawing: str) -> list[np.ndarray]:
    """Pixels of every picture in a panel as they lie on paper:
    row 0 on top, column 0 at the left.
    """
    found = re.findall(r'base64,\s*([^"]+)"[^>]*?transform="matrix\((\S+) 0 0 (\S+) ', drawing)
    images = []
    for text, across, down in found:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("L")).astype(int)
        images.append(pixels[:: 1 if float(down) > 0 else -1, :: 1 if float(across) > 0 else -1])
    return images


def test_slices_go_through_the_centroid_of_the_first_label() -> None:
    assert scene().centre() == (3, 6, 4)


def test_without_labels_slices_go_through_the_middle() -> None:
    assert scene(labels=0).centre() == (5, 6, 4)


def test_displacement_is_measured_in_mm() -> None:
    field = np.zeros((3, *SHAPE))
    field[1] = 1.5
    field[2] = 4 / 3
    assert scene(field=field).magnitude_mm() == pytest.approx(np.full(SHAPE, 5.0))


def test_a_panel_has_three_planes_of_four_pictures() -> None:
    drawn = str(panels.panel(scene(), "alt", "panel"))
    assert len([item for item in pictures(drawn) if item.shape[0] < 20]) == 12


def test_slices_lie_as_radiologists_expect_them() -> None:
    tiles = pictures(str(panels.panel(scene(), "alt", "panel")))
    axial_x, axial_y, coronal_x, coronal_z, sagittal_y = (tiles[place] for place in (0, 1, 4, 6, 9))
    assert (axial_x[:, 0] > axial_x[:, -1]).all()  # the patient's right at the left
    assert (axial_y[0] > axial_y[-1]).all()  # front on top
    assert (coronal_x[:, 0] > coronal_x[:, -1]).all()
    assert (coronal_z[0] > coronal_z[-1]).all()  # head on top
    assert (sagittal_y[:, 0] > sagittal_y[:, -1]).all()  # front at the left


def test_fixed_contours_are_solid_and_moving_ones_dashed() -> None:
    drawn = str(panels.panel(scene(), "alt", "panel"))
    fixed = [line for line in drawn.splitlines() if f"stroke: {panels.FIXED}" in line]
    moved = [line for line in drawn.splitlines() if f"stroke: {panels.MOVED}" in line]
    assert len(fixed) == 12
    assert len(moved) == 6
    assert not any("dasharray" in line for line in fixed)
    assert all("dasharray" in line for line in moved)


def test_without_labels_there_are_no_contours() -> None:
    drawn = str(panels.panel(scene(labels=0), "alt", "panel"))
    assert f"stroke: {panels.FIXED}" not in drawn


def test_fine_images_are_thinned_for_the_page() -> None:
    drawn = str(panels.panel(scene((330, 20, 20)), "alt", "panel"))
    assert pictures(drawn)[0].shape == (7, 110)


def test_a_constant_image_can_be_shown() -> None:
    some = scene()
    flat = panels.Scene(
        **{name: getattr(some, name) for name in panels.Scene.__slots__} | {"fixed": np.ones(SHAPE)}
    )
    assert "<svg" in panels.panel(flat, "alt", "panel")
