"""One map, four readers: the program, SimpleITK by either file,
and ANTs agree on images and points.

Largest deviations are logged; `-o log_cli=true -o log_cli_level=INFO` shows them.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from builders.stored_pairs import (
    FIXED_SHAPE,
    MOVING_SHAPE,
    STORAGES,
    Pair,
    gentle_transform,
    inside,
    itk_points,
    itk_warped,
    pair,
    voxel_points,
)
from tenter.formats import fields, transforms
from tenter.shapes import PointsMm
from tenter.spatial import geometry, pull

TRANSFORM, FIELD = "transform.h5", "field.nii.gz"
INTENSITY = 1e-4
"""Of the range of the moving image, which is 1."""

PLACE_MM = 1e-3
ANTS_PYTHON = Path(sys.prefix) / "ants/bin/python"
PEER = Path(__file__).parents[1] / "peers/ants_peer.py"
PAIRS = [
    *((storage, storage) for storage in STORAGES),
    ("RAS", "LPS"),
    ("LAS", "oblique"),
    ("LPS", "left-handed"),
    ("anisotropic", "LAS"),
    ("oblique", "anisotropic"),
    ("left-handed", "RAS"),
    ("oblique", "left-handed"),
    ("left-handed", "oblique"),
]

Tool = Callable[[Pair, Path, PointsMm], tuple[np.ndarray, PointsMm]]
"""A pair, a transform's file and fixed points to the warped moving image and the mapped points."""

_log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def largest() -> Iterator[dict[str, float]]:
    """Largest deviation by tool, file and kind, told at the end."""
    found: dict[str, float] = {}
    yield found
    for name, value in sorted(found.items()):
        _log.info("largest deviation, %s: %.1e", name, value)


class Ants:
    """ANTsPy in a process of its own, started once:
    `make test` gives it an environment of its own too.

    Args:
        folder: for its temporary files and for what is exchanged with it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [str(ANTS_PYTHON), str(PEER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": ""},
        )

    def __call__(self, case: Pair, file: Path, points: PointsMm) -> tuple[np.ndarray, PointsMm]:
        """The moving image on the fixed grid, and fixed points in the moving image."""
        request, reply = self.folder / "request.npz", self.folder / "reply.npz"
        np.savez(
            request,
            image=case.image[0, 0].numpy(),
            moving=geometry.LPS @ case.moving,
            shape=FIXED_SHAPE,
            fixed=geometry.LPS @ case.fixed,
            points=points * [-1, -1, 1],
            transform=str(file),
        )
        reply.unlink(missing_ok=True)
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{request}\t{reply}\n")
        stdin.flush()
        while (line := stdout.readline()) != "done\n":
            assert line, "ANTs ended without an answer"
        with np.load(reply) as found:
            return found["warped"], found["points"] * [-1, -1, 1]

    def end(self) -> None:
        """Let the process go."""
        self.process.communicate()


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tool]]:
    if not ANTS_PYTHON.exists():
        pytest.skip(f"ANTsPy is not installed in {ANTS_PYTHON.parents[1]}; `make test` does it")
    ants = Ants(tmp_path_factory.mktemp("ants"))
    yield {"SimpleITK": by_simpleitk, "ANTs": ants}
    ants.end()


def by_simpleitk(case: Pair, file: Path, points: PointsMm) -> tuple[np.ndarray, PointsMm]:
    if file.name == FIELD:
        image = sitk.ReadImage(str(file), sitk.sitkVectorFloat64)
        transform: sitk.Transform = sitk.DisplacementFieldTransform(image)
    else:
        transform = sitk.ReadTransform(str(file))
    return itk_warped(case, transform), itk_points(transform, points)


def write(case: Pair, folder: Path) -> None:
    transforms.write_transform(folder / TRANSFORM, case.transform)
    moves = pull.displacement(case.transform, case.fixed, FIXED_SHAPE)
    fields.write_field(folder / FIELD, moves, case.fixed)


def deviations(case: Pair, tool: Tool, file: Path) -> tuple[float, float]:
    """Of intensities and of points in mm, of a tool from the program,
    at the fixed image's inner voxels.
    """
    points = voxel_points(case.fixed, FIXED_SHAPE)
    warped, mapped = tool(case, file, points)
    ours = pull.pull(case.image, case.transform, (case.fixed, FIXED_SHAPE), case.moving)[0].numpy()
    voxels = inside(case)
    assert voxels.mean() > 0.4
    gaps = np.linalg.norm(mapped - case.transform.map_points(points), axis=1)
    return float(np.abs(warped - ours)[voxels].max()), float(gaps.max())


@pytest.mark.parametrize(("fixed", "moving"), PAIRS)
def test_four_tools_agree(
    fixed: str, moving: str, tmp_path: Path, tools: dict[str, Tool], largest: dict[str, float]
) -> None:
    case = pair(fixed, moving)
    write(case, tmp_path)
    for tool, by_tool in tools.items():
        for file in (TRANSFORM, FIELD):
            intensity, place_mm = deviations(case, by_tool, tmp_path / file)
            for kind, value in (("of the intensity range", intensity), ("mm", place_mm)):
                name = f"{tool} by {file}, {kind}"
                largest[name] = max(largest.get(name, 0.0), value)
            assert intensity < INTENSITY, (tool, file)
            assert place_mm < PLACE_MM, (tool, file)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("tool", ["SimpleITK", "ANTs"])
def test_a_flipped_sign_would_be_seen(
    tool: str, axis: int, tmp_path: Path, tools: dict[str, Tool]
) -> None:
    case = pair("oblique", "RAS")
    moves = pull.displacement(case.transform, case.fixed, FIXED_SHAPE)
    moves[axis].neg_()
    fields.write_field(tmp_path / FIELD, moves, case.fixed)
    intensity, place_mm = deviations(case, tools[tool], tmp_path / FIELD)
    assert intensity > 1000 * INTENSITY
    assert place_mm > 1000 * PLACE_MM


@pytest.mark.parametrize("tool", ["SimpleITK", "ANTs"])
def test_between_voxels_the_transform_is_exact_and_the_field_nearly(
    tool: str, tmp_path: Path, tools: dict[str, Tool], largest: dict[str, float]
) -> None:
    case = pair("oblique", "RAS")
    write(case, tmp_path)
    points = voxel_points(case.fixed, FIXED_SHAPE, between=True)
    ours = case.transform.map_points(points)
    for file, bound_mm in ((TRANSFORM, PLACE_MM), (FIELD, 0.5)):
        _, mapped = tools[tool](case, tmp_path / file, points)
        gap = float(np.linalg.norm(mapped - ours, axis=1).max())
        largest[f"{tool} by {file}, between voxels, mm"] = gap
        assert gap < bound_mm


@pytest.mark.parametrize("sheared", [False, True])
@pytest.mark.parametrize("tool", ["SimpleITK", "ANTs"])
def test_inverse_transform_means_the_same_to_all(
    tool: str,
    sheared: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    tools: dict[str, Tool],
    largest: dict[str, float],
) -> None:
    """With shear the file holds the field first and the affine last."""
    transform = gentle_transform(2, "left-handed", sheared=sheared)
    inverse, residual_mm = transform.inverse()
    transforms.write_transform(tmp_path / "inverse.h5", inverse)
    inner = np.random.default_rng(0).uniform(1, np.array(transform.field.shape[2:]) - 2, (300, 3))
    points = geometry.apply(transform.affine, inner)
    case = pair("RAS", "RAS")
    moved = transform.map_points(points)
    _, home = tools[tool](case, tmp_path / "inverse.h5", moved)
    np.testing.assert_allclose(home, inverse.map_points(moved), rtol=0, atol=PLACE_MM)
    gap = float(np.linalg.norm(home - points, axis=1).max())
    name = f"{tool} by inverse.h5, there and back, mm"
    largest[name] = max(largest.get(name, 0.0), gap)
    assert gap < 0.05
    assert residual_mm < 0.05


@pytest.mark.parametrize("fixed", ["LAS", "oblique", "left-handed"])
def test_inverse_leads_ants_and_simpleitk_the_other_way(
    fixed: str, tmp_path: Path, tools: dict[str, Tool], largest: dict[str, float]
) -> None:
    """`inverse_field.nii.gz` is exact at the moving image's voxels, for every reader alike."""
    case = pair(fixed, "anisotropic")
    moves = pull.displacement(case.transform, case.moving, MOVING_SHAPE, inverse=True)
    fields.write_field(tmp_path / FIELD, moves, case.moving)
    points = voxel_points(case.moving, MOVING_SHAPE)
    home, residual_mm = case.transform.inverse_points(points)
    for tool, by_tool in tools.items():
        _, mapped = by_tool(case, tmp_path / FIELD, points)
        gap = float(np.linalg.norm(mapped - home, axis=1).max())
        name = f"{tool} by inverse_field.nii.gz, mm"
        largest[name] = max(largest.get(name, 0.0), gap)
        assert gap < PLACE_MM
    assert np.median(residual_mm) < 1e-6
