"""The command on files, against SimpleITK with the same transform file."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from builders.tiny_cohorts import picture, save, spheres, stored, voxel_points, world
from tenter.cli.main import main
from tenter.errors import DataError, InputError
from tenter.formats import point_writers, transforms, volumes
from tenter.formats.points import Point, read_points
from tenter.spatial.geometry import translation
from tenter.spatial.transform import Transform
from tenter.tools.warp import warp

SHAPES = {"fixed": (15, 13, 12), "moving": (14, 16, 11)}
PLACES = {"upright": (0.0, (2.0, 2.0, 2.0)), "oblique": (25.0, (1.6, 2.3, 2.9))}
OFFSET = (3.0, -2.0, 1.0)
POINTS = (
    Point("apex", (9.0, -21.0, 30.5)),
    Point("base, left", (14.0, -25.0, 27.0)),
    Point("far", (90.0, -20.0, 30.0)),
)


def bent() -> Transform:
    """A smooth field of some mm on a grid that covers most of the fixed image,
    then a turn and a shift.
    """
    noise = torch.randn(1, 3, 7, 7, 7, generator=torch.Generator().manual_seed(4))
    field = torch.nn.functional.avg_pool3d(noise, 3, stride=1, padding=1)
    middle = translation((10.0, -20.0, 30.0))
    turn = world((1, 1, 1), (1.0, 1.0, 1.0), 5.0)
    turn[:3, 3] = 0
    alignment = translation(OFFSET) @ middle @ turn @ np.linalg.inv(middle)
    return Transform(alignment, field, world((7, 7, 7), (4.0, 4.5, 4.0), -12.0))


@dataclass
class Pair:
    """A folder with an image, labels and a stack of each side, and their transform."""

    root: Path

    def file(self, name: str) -> Path:
        return self.root / name

    def warp(self, name: str, output: str = "out.nii.gz", **flags: object) -> str:
        side = "moving" if flags.get("inverse") else "fixed"
        return warp(
            transform=self.file("t.h5"),
            input=self.file(name),
            output=self.file(output),
            reference=self.file(f"{side}.nii.gz"),
            **flags,  # type: ignore[arg-type] # whatever flags a test gives
        )


def make(root: Path, fixed: tuple[str, str], moving: tuple[str, str]) -> Pair:
    """A pair whose volumes lie and are stored as said."""
    for side, (place, storage) in (("fixed", fixed), ("moving", moving)):
        degrees, spacing = PLACES[place]
        affine = world(SHAPES[side], spacing, degrees)
        points = voxel_points(SHAPES[side], affine)
        stack = spheres(points, "stack") * np.array([0.25, 0.5, 1.0], np.float32)
        arrays = {
            "": picture(points).astype(np.int16) - 100,
            "-labels": spheres(points, "map"),
            "-stack": stack,
        }
        for name, array in arrays.items():
            save(root / f"{side}{name}.nii.gz", *stored(array, affine, storage))
    transforms.write_transform(root / "t.h5", bent())
    return Pair(root)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make(tmp_path, ("oblique", "LPS"), ("upright", "RAS"))


def by_simpleitk(pair: Pair, image: sitk.Image, how: int, fill: float = 0.0) -> np.ndarray:
    reference = sitk.ReadImage(str(pair.file("fixed.nii.gz")))
    transform = sitk.ReadTransform(str(pair.file("t.h5")))
    warped = sitk.Resample(sitk.Cast(image, sitk.sitkFloat64), reference, transform, how, fill)
    array: np.ndarray = sitk.GetArrayFromImage(warped).transpose(2, 1, 0)
    return array


def written(path: Path) -> np.ndarray:
    array: np.ndarray = np.asanyarray(nib.nifti1.load(path).dataobj)
    return array


STORED = [
    (("upright", "RAS"), ("upright", "LAS")),
    (("upright", "LAS"), ("oblique", "LPS")),
    (("oblique", "LPS"), ("upright", "PIR")),
    (("oblique", "PIR"), ("oblique", "RAS")),
]


@pytest.mark.parametrize(("fixed", "moving"), STORED)
def test_images_and_labels_are_those_of_simpleitk(
    tmp_path: Path, fixed: tuple[str, str], moving: tuple[str, str]
) -> None:
    pair = make(tmp_path, fixed, moving)
    pair.warp("moving.nii.gz", "image.nii.gz", fill=-20.0)
    pair.warp("moving-labels.nii.gz", "labels.nii.gz", kind="labels")
    image = sitk.ReadImage(str(pair.file("moving.nii.gz")))
    expected = by_simpleitk(pair, image, sitk.sitkLinear, -20.0)
    np.testing.assert_allclose(written(pair.file("image.nii.gz")), expected, rtol=0, atol=1e-4)
    labels = sitk.ReadImage(str(pair.file("moving-labels.nii.gz")))
    expected = by_simpleitk(pair, labels, sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(written(pair.file("labels.nii.gz")), expected)
    assert np.count_nonzero(expected) > 0


def test_a_stack_of_soft_labels_is_carried_channel_by_channel(pair: Pair) -> None:
    said = pair.warp("moving-stack.nii.gz")
    found = written(pair.file("out.nii.gz"))
    stack = sitk.ReadImage(str(pair.file("moving-stack.nii.gz")))
    for channel in range(3):
        expected = by_simpleitk(pair, stack[:, :, :, channel], sitk.sitkLinear)
        np.testing.assert_allclose(found[..., channel], expected, rtol=0, atol=1e-5)
    assert "taken for an image, as it holds fractions; read linearly, written as float32" in said


def test_a_stack_of_hard_labels_is_carried_linearly(pair: Pair) -> None:
    values, affine = volumes.read_values(pair.file("moving-stack.nii.gz"))
    hard = (values > 0).astype(np.float64)
    save(pair.file("hard.nii.gz"), np.moveaxis(hard, 0, 3), affine)
    said = pair.warp("hard.nii.gz", kind="stack")
    assert "taken for a stack of labels, as asked for; read linearly, written as uint8" in said
    stack = sitk.ReadImage(str(pair.file("hard.nii.gz")))
    expected = by_simpleitk(pair, stack[:, :, :, 1], sitk.sitkLinear)
    np.testing.assert_allclose(
        written(pair.file("out.nii.gz"))[..., 1], expected, rtol=0, atol=0.5 / 255 + 1e-5
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_labels_keep_their_type(pair: Pair, dtype: type) -> None:
    image = nib.nifti1.load(pair.file("moving-labels.nii.gz"))
    save(
        pair.file("typed.nii.gz"),
        written(pair.file("moving-labels.nii.gz")).astype(dtype),
        image.affine,
    )
    pair.warp("typed.nii.gz", kind="labels")
    assert written(pair.file("out.nii.gz")).dtype == dtype


def test_labels_too_large_for_float32_are_exact(pair: Pair) -> None:
    image = nib.nifti1.load(pair.file("moving-labels.nii.gz"))
    large = written(pair.file("moving-labels.nii.gz")).astype(np.int32) * 312782546 // 2 + 1
    save(pair.file("large.nii.gz"), large, image.affine)
    pair.warp("large.nii.gz", kind="labels", fill=1.0)
    assert set(np.unique(written(pair.file("out.nii.gz")))) == set(np.unique(large))


def test_what_is_asked_for_goes_before_what_it_is_taken_for(pair: Pair) -> None:
    said = pair.warp("moving-labels.nii.gz", interpolation="linear")
    assert "taken for an image, as asked for; read linearly, written as float32" in said
    assert len(np.unique(written(pair.file("out.nii.gz")))) > 10
    said = pair.warp("moving.nii.gz", "near.nii.gz", interpolation="nearest")
    assert "read at the nearest voxel, as asked for, written as int16" in said


def test_edge_continues_the_image_without_end(pair: Pair) -> None:
    save(
        pair.file("one.nii.gz"),
        np.full((4, 4, 4), 3.5, np.float32),
        world((4, 4, 4), (2.0, 2.0, 2.0)),
    )
    told = pair.warp("one.nii.gz", fill="edge")
    np.testing.assert_array_equal(written(pair.file("out.nii.gz")), np.float32(3.5))
    assert "the other voxels are those of its edge" in told


def test_the_share_that_the_image_reaches_is_told(pair: Pair) -> None:
    told = pair.warp("moving.nii.gz", fill=-1000.0)
    missed = np.mean(written(pair.file("out.nii.gz")) == -1000)
    assert f"covers {100 * (1 - missed):.1f} % of the voxels" in told
    assert 0 < missed < 1


@pytest.mark.parametrize("suffix", ["mha", "nrrd"])
def test_other_formats_are_read(pair: Pair, suffix: str) -> None:
    image = sitk.ReadImage(str(pair.file("moving-labels.nii.gz")))
    sitk.WriteImage(image, str(pair.file(f"other.{suffix}")))
    pair.warp(f"other.{suffix}", kind="labels")
    pair.warp("moving-labels.nii.gz", "again.nii.gz", kind="labels")
    assert pair.file("out.nii.gz").read_bytes() == pair.file("again.nii.gz").read_bytes()


def test_the_output_has_the_grid_of_the_reference_and_no_other_words(pair: Pair) -> None:
    pair.warp("moving.nii.gz", "out.nii")
    image, reference = (nib.nifti1.load(pair.file(name)) for name in ("out.nii", "fixed.nii.gz"))
    np.testing.assert_allclose(image.affine, reference.affine, atol=1e-5)
    assert bytes(image.header["descrip"]).strip(b"\0") == b""


@pytest.mark.parametrize("suffix", ["tsv", "csv", "fcsv", "mrk.json"])
def test_fixed_points_go_where_simpleitk_maps_them(pair: Pair, suffix: str) -> None:
    point_writers.write_points(pair.file(f"in.{suffix}"), POINTS)
    warp(
        transform=pair.file("t.h5"),
        input=pair.file(f"in.{suffix}"),
        output=pair.file(f"out.{suffix}"),
    )
    transform = sitk.ReadTransform(str(pair.file("t.h5")))
    found = read_points(pair.file(f"out.{suffix}"))
    assert [point.name for point in found] == [point.name for point in POINTS]
    for start, end in zip(POINTS, found, strict=True):
        x, y, z = transform.TransformPoint([-start.xyz[0], -start.xyz[1], start.xyz[2]])
        assert end.xyz == pytest.approx((-x, -y, z), abs=1e-4)


def test_a_field_of_displacements_is_applied_as_simpleitk_applies_it(pair: Pair) -> None:
    field = sitk.DisplacementFieldTransform(
        sitk.TransformToDisplacementField(
            sitk.ReadTransform(str(pair.file("t.h5"))), sitk.sitkVectorFloat64, (20, 20, 20),
            (-30.0, -5.0, 10.0), (2.0, 2.0, 2.0), np.eye(3).ravel().tolist(),
        )
    )  # fmt: skip
    sitk.WriteImage(field.GetDisplacementField(), str(pair.file("field.nii.gz")))
    sitk.WriteTransform(field, str(pair.file("t.h5")))
    expected = by_simpleitk(pair, sitk.ReadImage(str(pair.file("moving.nii.gz"))), sitk.sitkLinear)
    warp(
        transform=pair.file("field.nii.gz"),
        input=pair.file("moving.nii.gz"),
        reference=pair.file("fixed.nii.gz"),
        output=pair.file("out.nii.gz"),
    )
    np.testing.assert_allclose(written(pair.file("out.nii.gz")), expected, rtol=0, atol=1e-3)


def test_the_fixed_image_goes_to_the_moving_grid_with_inverse(pair: Pair) -> None:
    """At a voxel y stands the fixed image's value at x, the point that SimpleITK maps to y."""
    pair.warp("fixed.nii.gz", inverse=True, fill=-7.0)
    found = sitk.ReadImage(str(pair.file("out.nii.gz")))
    fixed = sitk.ReadImage(str(pair.file("fixed.nii.gz")), sitk.sitkFloat64)
    transform, whole = sitk.ReadTransform(str(pair.file("t.h5"))), bent()
    random = np.random.default_rng(1)
    for voxel in random.integers(0, SHAPES["moving"], (60, 3)).tolist():
        place = np.array(found.TransformIndexToPhysicalPoint(voxel))
        origins, gaps = whole.inverse_points((place * [-1, -1, 1])[None])
        origin = (origins[0] * [-1, -1, 1]).tolist()
        if gaps[0] > 1e-6:
            continue
        np.testing.assert_allclose(transform.TransformPoint(origin), place, rtol=0, atol=1e-5)
        index = np.array(fixed.TransformPhysicalPointToContinuousIndex(origin))
        within = bool(np.all((index >= -0.5) & (index < np.array(SHAPES["fixed"]) - 0.5)))
        expected = fixed.EvaluateAtPhysicalPoint(origin) if within else -7.0
        assert found[voxel] == pytest.approx(expected, abs=1e-3)


def test_labels_that_go_there_and_back_are_nearly_what_they_were(pair: Pair) -> None:
    pair.warp("fixed-labels.nii.gz", "there.nii.gz", inverse=True, kind="labels")
    pair.warp("there.nii.gz", "back.nii.gz", kind="labels")
    before, after = (
        written(pair.file(name)) == 1 for name in ("fixed-labels.nii.gz", "back.nii.gz")
    )
    assert (
        2 * np.count_nonzero(before & after) / (np.count_nonzero(before) + np.count_nonzero(after))
        > 0.85
    )
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("suffix", ["tsv", "csv", "fcsv", "mrk.json"])
def test_points_come_back_by_the_inverse(pair: Pair, suffix: str) -> None:
    names = [pair.file(f"{name}.{suffix}") for name in ("in", "there", "back")]
    point_writers.write_points(names[0], POINTS)
    warp(transform=pair.file("t.h5"), input=names[0], output=names[1])
    warp(transform=pair.file("t.h5"), input=names[1], output=names[2], inverse=True)
    for start, there, end in zip(*map(read_points, names), strict=True):
        assert end.xyz == pytest.approx(start.xyz, abs=1e-5)
        assert np.linalg.norm(np.subtract(there.xyz, start.xyz)) > 1


@pytest.fixture
def torn(pair: Pair) -> Pair:
    """A field of 1.5 voxels along one axis and none before its grid:
    nothing maps to the gap between.
    """
    field = torch.zeros(1, 3, 8, 8, 8)
    field[:, 0] = 1.5
    grid = world((8, 8, 8), (4.0, 4.0, 4.0))
    transforms.write_transform(pair.file("t.h5"), Transform(np.eye(4), field, grid))
    voxels = {"sound": 5.0, "lost": 0.25}
    places = {name: (grid @ [voxel, 3.0, 3.0, 1.0])[:3].tolist() for name, voxel in voxels.items()}
    point_writers.write_points(
        pair.file("in.tsv"), [Point(name, (x, y, z)) for name, (x, y, z) in places.items()]
    )
    return pair


def test_points_without_an_inverse_are_told_by_name(
    torn: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    warp(
        transform=torn.file("t.h5"),
        input=torn.file("in.tsv"),
        output=torn.file("out.tsv"),
        inverse=True,
    )
    said = [record.getMessage() for record in caplog.records if "no inverse" in record.getMessage()]
    assert len(said) == 1
    assert "1 of 2 points have no inverse" in said[0]
    assert "they miss by: lost" in said[0]


def test_how_much_of_a_grid_has_no_inverse_is_told(
    torn: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    torn.warp("fixed.nii.gz", inverse=True)
    assert "has no inverse at" in caplog.records[-1].getMessage()


def test_points_outside_the_grid_are_told_by_name(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    point_writers.write_points(pair.file("in.tsv"), POINTS)
    warp(transform=pair.file("t.h5"), input=pair.file("in.tsv"), output=pair.file("out.fcsv"))
    (record,) = caplog.records
    assert record.getMessage().endswith("1 of 3 points lie outside the grid of "
        f"{pair.file('t.h5')}, where its alignment alone acts: far")  # fmt: skip


def test_a_linear_transform_acts_everywhere(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    shift = sitk.TranslationTransform(3, (1.0, 2.0, 3.0))
    sitk.WriteTransform(shift, str(pair.file("t.tfm")))
    point_writers.write_points(pair.file("in.tsv"), POINTS)
    warp(transform=pair.file("t.tfm"), input=pair.file("in.tsv"), output=pair.file("out.tsv"))
    moved = [
        np.subtract(b.xyz, a.xyz)
        for a, b in zip(POINTS, read_points(pair.file("out.tsv")), strict=True)
    ]
    np.testing.assert_allclose(moved, [(-1.0, -2.0, 3.0)] * 3, atol=1e-5)
    assert caplog.records == []


def test_an_image_of_another_pair_is_told(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    values = np.ones((4, 4, 4), np.int16)
    save(pair.file("fixed.nii.gz"), values, translation((900.0, 0.0, 0.0)))
    save(pair.file("far.nii.gz"), values, translation((-900.0, 0.0, 0.0)))
    pair.warp("far.nii.gz", kind="image")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "lies wholly outside the grid of" in said[0]
    assert "does not reach a voxel of" in said[1]


def test_a_small_reference_inside_the_grid_is_no_cause_to_warn(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    save(pair.file("fixed.nii.gz"), np.ones((3, 3, 3), np.int16), translation((10.0, -20.0, 30.0)))
    with caplog.at_level(logging.WARNING):
        pair.warp("moving.nii.gz")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"input": "moving.nii.gz", "reference": None},
            "needs a grid .*name the fixed image by --reference",
        ),
        ({"input": "moving.nii.gz", "reference": None, "inverse": True}, "name the moving image"),
        (
            {"input": "moving.nii.gz", "output": "out.mha"},
            r"out\.mha: asks for no format.*name it \.nii",
        ),
        ({"input": "moving.nii.gz", "output": "out.tsv"}, r"name it \.nii or \.nii\.gz"),
        ({"input": "in.tsv", "reference": None, "output": "out.nii.gz"}, r"name it \.tsv, \.csv"),
        ({"input": "in.tsv"}, "holds points, which have no --reference"),
        ({"input": "in.tsv", "reference": None, "fill": 1.0}, "leave these flags out"),
        ({"input": "gone.nii.gz"}, r"gone\.nii\.gz: is missing"),
        ({"input": "moving.nii.gz", "transform": "gone.h5"}, r"gone\.h5: is missing"),
        (
            {"input": "moving.nii.gz", "output": "fixed.nii.gz", "overwrite": True},
            "is one of the files to read",
        ),
        (
            {"input": "moving.nii.gz", "output": "fixed-labels.nii.gz"},
            "is there already; .*--overwrite",
        ),
        (
            {"input": "moving-labels.nii.gz", "kind": "labels", "fill": -1.0},
            "give a whole number from 0 to 255",
        ),
        (
            {"input": "moving-labels.nii.gz", "kind": "labels", "fill": 0.5},
            "give a whole number from 0 to 255",
        ),
        (
            {"input": "moving-stack.nii.gz", "kind": "stack", "fill": -1.0},
            "give a number from 0 to 1",
        ),
        (
            {"input": "moving-labels.nii.gz"},
            "whole numbers from 0 to 5: an image or labels; .*--kind labels",
        ),
        (
            {"input": "moving-labels.nii.gz", "kind": "labels", "interpolation": "linear"},
            "leave out --interpolation",
        ),
        (
            {"input": "in.tsv", "kind": "image"},
            "points by its name, which --kind image contradicts",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    pair: Pair, flags: dict[str, object], said: str
) -> None:
    point_writers.write_points(pair.file("in.tsv"), POINTS)
    before = sorted(path.name for path in pair.root.iterdir())
    given = {"transform": "t.h5", "reference": "fixed.nii.gz", "output": "out.nii.gz"} | flags
    words = {"kind", "interpolation"}
    paths = {
        name: pair.file(value) if isinstance(value, str) and name not in words else value
        for name, value in given.items()
    }
    with pytest.raises(InputError, match=said):
        warp(**paths)  # type: ignore[arg-type] # checked at run time
    assert sorted(path.name for path in pair.root.iterdir()) == before


def test_all_faults_are_told_at_once(pair: Pair) -> None:
    with pytest.raises(InputError) as raised:
        warp(transform=pair.file("a.h5"), input=pair.file("b.nii"), output=pair.file("c.txt"))
    assert len(raised.value.faults) == 4


def test_an_output_is_replaced_where_that_is_asked_for(pair: Pair) -> None:
    pair.file("out.nii.gz").write_text("old")
    pair.warp("moving.nii.gz", overwrite=True)
    assert written(pair.file("out.nii.gz")).shape == SHAPES["fixed"]


def test_labels_beyond_32_bits_are_refused_by_name(pair: Pair) -> None:
    values = np.zeros((4, 4, 4))
    values[1, 1, 1] = 2.0**40
    save(pair.file("huge.nii.gz"), values, np.eye(4))
    with pytest.raises(
        DataError, match=r"huge\.nii\.gz: holds whole numbers from 0 to 1099511627776"
    ):
        pair.warp("huge.nii.gz", kind="labels")


def tenter(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tenter.cli.main", "warp", *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_carries_labels(pair: Pair) -> None:
    done = tenter(
        pair.root, "--transform", "t.h5", "--input", "moving-labels.nii.gz",
        "--reference", "fixed.nii.gz", "--output", "new/out.nii.gz", "--kind", "labels",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "moving-labels.nii.gz: taken for a label map, as asked for" in done.stdout
    assert done.stdout.endswith("written: new/out.nii.gz\n")
    assert pair.file("new/out.nii.gz").is_file()


def test_the_command_carries_points_and_warns(pair: Pair) -> None:
    point_writers.write_points(pair.file("in.fcsv"), POINTS)
    done = tenter(
        pair.root, "--transform", "t.h5", "--input", "in.fcsv", "--output", "out.mrk.json"
    )
    assert done.returncode == 0
    assert "WARNING in.fcsv: 1 of 3 points lie outside the grid of t.h5" in done.stderr
    assert done.stdout == (
        "3 points taken from the fixed image to the moving one\nwritten: out.mrk.json\n"
    )
    assert (
        len(json.loads(pair.file("out.mrk.json").read_text())["markups"][0]["controlPoints"]) == 3
    )


def test_the_command_line_takes_every_flag(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    named = (
        ("transform", "t.h5"),
        ("input", "moving-stack.nii.gz"),
        ("reference", "fixed.nii.gz"),
        ("output", "out.nii"),
    )
    paths = [f"--{name}={pair.file(file)}" for name, file in named]
    assert (
        main(["warp", *paths, "--fill", "-1000", "--interpolation", "nearest", "--overwrite"]) == 0
    )
    assert main(["warp", *paths, "--fill", "edge"]) == 2
    assert "is there already" in capsys.readouterr().err
