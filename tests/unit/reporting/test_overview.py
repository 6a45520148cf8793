"""One registration in one picture."""

from __future__ import annotations

import io
import struct

import numpy as np
from matplotlib.image import imread

from tenter.reporting import overview, panels, planes


def scenes(value: float = 0.0) -> list[panels.Scene]:
    """Slices of noise, displaced by `value` voxels."""
    found = []
    for plane in planes.PLANES:
        shape = [12, 14, 10]
        shape[plane.normal] = 1
        random = np.random.default_rng(plane.normal)
        fixed, moving = random.normal(size=shape), random.normal(size=shape)
        nothing = np.zeros((0, *shape))
        field = np.full((3, *shape), value)
        found.append(
            panels.Scene(
                fixed=fixed,
                moving=moving,
                warped=moving,
                field=field,
                spacing_mm=(1.0, 1.0, 2.0),
                fixed_labels=nothing,
                moving_labels=nothing,
                warped_labels=nothing,
            )
        )
    return found


def test_a_picture_is_a_png_of_its_size() -> None:
    content = overview.png(scenes(), 50)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width = struct.unpack(">I", content[16:20])[0]
    assert width == round(overview.WIDTH * 50)


def test_equal_scenes_give_equal_bytes_and_others_do_not() -> None:
    assert overview.png(scenes(), 40) == overview.png(scenes(), 40)
    assert overview.png(scenes(1.0), 40) != overview.png(scenes(), 40)


def test_images_stand_on_white() -> None:
    pixels = imread(io.BytesIO(overview.png(scenes(), 40)))
    assert np.all(pixels[0, 0, :3] == 1)
    assert pixels[..., :3].min() < 0.2


def test_a_checkerboard_shows_two_images_in_turn() -> None:
    board = overview.checkerboard(np.zeros((4, 4, 2)), np.ones((4, 4, 2)), (2, 1, 2))
    assert board[:, :, 0].tolist() == [[0, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 0], [1, 0, 1, 0]]
