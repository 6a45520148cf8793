"""Every command of the how-to page does what the page says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.tiny_cohorts import picture, save, spheres, voxel_points, world
from tenter.cli.main import main
from tenter.formats import point_writers, transforms, volumes
from tenter.formats.points import Point, read_points
from tenter.spatial.transform import Transform

PAGE = Path(__file__).parents[3] / "docs/how-to/warp-and-points.md"
BLOCKS = re.findall(
    r"^    (tenter warp [^\\\n]*(?:\\\n[^\\\n]*)*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
)
COMMANDS = [shlex.split(block.replace("\\\n", " ")) for block in BLOCKS]
SHAPES = {"mr": (12, 11, 10), "us": (10, 12, 9)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page names."""
    field = torch.rand(1, 3, 6, 6, 6, generator=torch.Generator().manual_seed(0)) / 2
    transforms.write_transform(
        tmp_path / "transform.h5", Transform(np.eye(4), field, world((6, 6, 6), (5.0, 5.0, 5.0)))
    )
    for side, shape in SHAPES.items():
        affine = world(shape, (2.0, 2.5, 2.2), 15)
        places = voxel_points(shape, affine)
        image, stack = (
            picture(places).astype(np.float32),
            spheres(places, "stack").astype(np.float32) * 0.9,
        )
        arrays = {"": image, "-prostate": spheres(places, "map"), "-zones": stack}
        for name, array in arrays.items():
            save(tmp_path / f"{side}{name}.nii.gz", array, affine)
    shutil.copy(tmp_path / "mr.nii.gz", tmp_path / "ct.nii.gz")
    points = [Point("apex", (10.0, -20.0, 30.0)), Point("base", (13.0, -18.0, 27.0))]
    for name in ("us-landmarks.mrk.json", "mr-targets.fcsv"):
        point_writers.write_points(tmp_path / name, points)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_shows_each_kind() -> None:
    assert len(COMMANDS) == 6


@pytest.mark.parametrize(
    "command", COMMANDS, ids=[command[command.index("--input") + 1] for command in COMMANDS]
)
def test_the_command_writes_what_the_page_says(
    folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command[1:]) == 0
    output = folder / command[command.index("--output") + 1]
    assert f"written: {output.name}" in capsys.readouterr().out
    if output.name.endswith(".nii.gz"):
        reference = folder / command[command.index("--reference") + 1]
        assert volumes.header(output).shape == volumes.header(reference).shape
        assert volumes.header(output).dtype == (np.float32 if "ct" in output.name else np.uint8)
    else:
        assert [point.name for point in read_points(output)] == ["apex", "base"]
