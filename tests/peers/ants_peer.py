"""Applies transforms by ANTsPy, which lives in an environment of its own:
it pins older NumPy and SciPy.

Each line of standard input names a request, an .npz with `image`, `moving` (LPS, voxel to mm),
`shape`, `fixed` (likewise), `points` (LPS mm) and `transform` (a file); its answer is written to
the path that follows after a tab, and one line of output says that it is there.
"""

from __future__ import annotations

import sys
from typing import Any

import ants  # type: ignore[import-not-found] # not in the project's environment
import numpy as np
import pandas as pd


def image(array: np.ndarray, lps: np.ndarray) -> Any:
    """An ANTs image of an array `[x, y, z]`."""
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return ants.from_numpy(
        np.ascontiguousarray(array),
        origin=lps[:3, 3].tolist(),
        spacing=spacing.tolist(),
        direction=lps[:3, :3] / spacing,
    )


def answer(request: str, path: str) -> None:
    """The moving image on the fixed grid, and the points mapped.

    ANTs maps points by the transform itself and pulls images by it, so that the transform that
    brings the moving image to the fixed one brings fixed points to the moving image.
    """
    with np.load(request) as asked:
        fixed = image(np.zeros(asked["shape"], np.float32), asked["fixed"])
        moving = image(asked["image"], asked["moving"])
        file = [str(asked["transform"])]
        points = pd.DataFrame(asked["points"], columns=["x", "y", "z"])
    warped = ants.apply_transforms(fixed, moving, file, interpolator="linear")
    mapped = ants.apply_transforms_to_points(3, points, file)
    np.savez(path, warped=warped.numpy(), points=mapped[["x", "y", "z"]].to_numpy())


if __name__ == "__main__":
    for line in sys.stdin:
        answer(*line.rstrip("\n").split("\t"))
        sys.stdout.write("done\n")
        sys.stdout.flush()
