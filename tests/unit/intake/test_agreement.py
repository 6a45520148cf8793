from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter.formats.points import Point
from tenter.intake import agreement
from tenter.intake.integrity import Finding, Findings, Kind, uses
from tenter.records import AlignmentRule, Fault, Pair

SHAPE = (20, 16, 12)


def affine(
    origin: Sequence[float] = (0, 0, 0), spacing: float = 1.0, turn: float = 0.0
) -> np.ndarray:
    """Turned about the third axis by `turn` radians."""
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * spacing
    matrix[:3, 3] = origin
    return matrix


def image(matrix: np.ndarray | None = None, sha256: str = "a") -> Finding:
    rows = tuple(
        tuple(float(value) for value in row) for row in (affine() if matrix is None else matrix)
    )
    return Finding(kind="image", bytes=1, sha256=sha256, shape=SHAPE, affine=rows)


def labels(keys: tuple[int, ...] = (1, 2), matrix: np.ndarray | None = None) -> Finding:
    return replace(image(matrix, "l"), kind="labels", keys=keys)


def points(*places: tuple[str, tuple[float, float, float]]) -> Finding:
    found = tuple(Point(name, xyz) for name, xyz in places)
    return Finding(kind="points", bytes=1, sha256="p", points=found)


def problems(alignment: AlignmentRule = "header", /, **found: Finding) -> list[Fault]:
    """What is wrong between files with these findings."""
    found = {"moving": image(sha256="m"), "fixed": image(sha256="f")} | found
    files = {name: Path(name) for name in found}
    pair = Pair(id="a", patients=("p",), row=2, **files)  # type: ignore[arg-type] # by name
    findings: Findings = {(files[name], finding.kind): finding for name, finding in found.items()}
    told = [
        agreement.disagreements(pair, findings, alignment),
        agreement.differing_labels(pair, findings),
    ]
    return list(itertools.chain(*told))


def test_a_pair_that_agrees_has_no_problem() -> None:
    sides = ("moving", "fixed")
    marks = {f"{side}_points": points(("apex", (1.0, 2.0, 3.0))) for side in sides}
    assert problems(moving_labels=labels(), fixed_labels=labels(), **marks) == []


def test_equal_content_on_both_sides_is_refused() -> None:
    (problem,) = problems(moving=image(sha256="same"), fixed=image(sha256="same"))
    assert (problem.severity, problem.column) == ("ERROR", "fixed_image")


def test_a_moving_image_5_m_away_is_warned_of_with_figures() -> None:
    told = problems(moving=image(affine((5000, 0, 0)), "m"))
    assert {problem.severity for problem in told} == {"WARNING"}
    assert "5000 mm" in told[0].message


def test_images_without_overlap_are_told_to_use_centres() -> None:
    (problem,) = problems(moving=image(affine((0, 17, 0)), "m"))
    assert "does not overlap" in problem.message
    assert "`plan.alignment` to `centre` or `mass`" in problem.fix


def test_alignment_by_centres_needs_no_overlap() -> None:
    assert problems("centre", moving=image(affine((0, 17, 0)), "m")) == []


def test_an_initial_transform_brings_images_together() -> None:
    shift = replace(image(affine((0, 17, 0))), kind="transform", shape=None)
    assert problems("file", moving=image(affine((0, 17, 0)), "m"), initial_transform=shift) == []


def test_alignment_by_file_needs_a_file() -> None:
    (problem,) = problems("file")
    assert (problem.severity, problem.column) == ("ERROR", "initial_transform")


def test_an_unused_initial_transform_is_warned_of() -> None:
    (problem,) = problems(initial_transform=replace(image(), kind="transform", shape=None))
    assert problem.severity == "WARNING"


@pytest.mark.parametrize(("gap", "expected"), [(-0.02, True), (0.02, False)])
def test_turned_boxes_that_just_touch(gap: float, expected: bool) -> None:  # noqa: FBT001
    # A cube turned by 45 degrees reaches sqrt(2) half-widths towards its neighbour.
    cube = replace(image(), shape=(10, 10, 10))
    turned = replace(image(affine(turn=np.pi / 4)), shape=(10, 10, 10))
    turned_centre = turned.centre_mm[0]
    place = np.array([4.5 + 5 + 5 * np.sqrt(2) + gap, 4.5, 4.5]) - turned_centre
    turned = replace(turned, affine=image(affine(place, turn=np.pi / 4)).affine)
    assert agreement.overlap(turned, cube, np.eye(4)) is expected


@given(st.tuples(*[st.floats(-30, 30)] * 3), st.floats(-3, 3), st.floats(0.5, 2))
def test_boxes_overlap_wherever_samples_do(
    origin: tuple[float, float, float], turn: float, spacing: float
) -> None:
    moving, fixed = image(affine(origin, spacing, turn)), image()
    steps = np.stack(np.meshgrid(*(np.linspace(-0.5, n - 0.5, 7) for n in SHAPE)), -1).reshape(
        -1, 3
    )
    world = steps @ moving.matrix[:3, :3].T + moving.matrix[:3, 3]
    sampled = ((world > -0.49) & (world < np.array(SHAPE) - 0.51)).all(axis=1).any()
    assert agreement.overlap(moving, fixed, np.eye(4)) or not sampled


@pytest.mark.parametrize(
    "matrix",
    [affine((0.01, 0, 0)), affine(spacing=1.001), np.diag([-1.0, 1, 1, 1]), affine(turn=0.01)],
)
def test_labels_off_their_image_are_refused(matrix: np.ndarray) -> None:
    (problem,) = problems(moving_labels=labels(matrix=matrix), fixed_labels=labels())
    assert (problem.severity, problem.column) == ("ERROR", "moving_labels")
    assert "mm from their image" in problem.message


def test_rounding_of_a_header_is_no_difference() -> None:
    assert problems(moving_labels=labels(matrix=affine((5e-7, 0, 0))), fixed_labels=labels()) == []


def test_labels_of_another_shape_are_refused() -> None:
    small = replace(labels(), shape=(20, 16, 11))
    (problem,) = problems(moving_labels=labels(), fixed_labels=small)
    assert "(20, 16, 11)" in problem.message
    assert "(20, 16, 12)" in problem.message


def test_differing_label_sets_are_warned_of_and_counted() -> None:
    (problem,) = problems(moving_labels=labels((1, 2, 5)), fixed_labels=labels((1, 2, 7)))
    assert problem.severity == "WARNING"
    assert (
        problem.message
        == "labels differ: 5 only in moving, 7 only in fixed; 2 common labels are used"
    )


def test_a_file_without_labels_and_an_empty_channel_are_warned_of() -> None:
    empty = replace(labels(()), empty=(0, 1))
    told = problems(moving_labels=empty, fixed_labels=labels(()))
    assert [problem.severity for problem in told] == ["WARNING"] * 3
    assert "channels 0, 1 are empty" in told[0].message


@pytest.mark.parametrize(
    ("place", "guess"),
    [
        ((-15.0, -2.0, 3.0), "LPS"),
        ((15.0, 13.0, 11.0), "voxel"),
        ((999.0, 0.0, 0.0), "RAS mm of this image"),
    ],
)
def test_points_outside_their_image_are_refused_with_a_guess(
    place: tuple[float, float, float], guess: str
) -> None:
    matrix = affine((0.0, 0.0, 0.0), spacing=1.0) if guess != "voxel" else affine((-50, -50, -50))
    marks = points(("apex", place))
    pair = {"moving": image(matrix, "m"), "fixed": image(matrix, "f")}
    told = problems(moving_points=marks, fixed_points=marks, **pair)
    assert {problem.column for problem in told} == {"moving_points", "fixed_points"}
    assert all(guess in problem.fix for problem in told)


def test_points_that_one_side_lacks_are_refused_by_name() -> None:
    one, two = ("apex", (1.0, 2.0, 3.0)), ("base", (2.0, 2.0, 3.0))
    (problem,) = problems(moving_points=points(one, two), fixed_points=points(one))
    assert problem.column == "moving_points"
    assert "base" in problem.message


def test_a_faulty_file_is_not_compared() -> None:
    broken = replace(labels(matrix=affine((3, 0, 0))), faults=(Fault("a", "is cut", "copy it"),))
    assert problems(moving_labels=broken, fixed_labels=labels()) == []


def test_the_same_scan_under_two_patients_is_a_leak() -> None:
    pairs = [
        Pair(
            id=f"a{row}",
            patients=(patient,),
            moving=Path(f"m{row}"),
            fixed=Path(f"f{row}"),
            row=row,
        )
        for row, patient in ((2, "p1"), (3, "p1"), (4, "p2"))
    ]
    contents = {"m2": "same", "m3": "same", "m4": "same", "f2": "x", "f3": "y", "f4": "z"}
    findings: Findings = {
        (Path(name), "image"): image(sha256=text) for name, text in contents.items()
    }
    ((pair, problem),) = agreement.leaks(pairs, findings)
    assert (pair.row, problem.severity) == (4, "WARNING")
    assert "p1, p2" in problem.message


def test_common_keys_are_those_of_both_sides() -> None:
    files = {name: Path(name) for name in ("moving", "fixed", "moving_labels", "fixed_labels")}
    pair = Pair(id="a", patients=("p",), row=2, **files)  # type: ignore[arg-type] # by name
    findings = {
        use: labels((1, 2) if column == "moving_labels" else (2, 3))
        for column, use in uses(pair).items()
    }
    assert agreement.common_keys(pair, findings) == {2}


@pytest.mark.parametrize(
    ("moving", "fixed", "lacking"),
    [
        ((1, 2), (2, 3), {"moving_labels": {3}, "fixed_labels": {1}}),
        ((1, 2), (1, 2), {"moving_labels": set(), "fixed_labels": set()}),
        ((1, 2), (), {}),
    ],
)
def test_one_sided_keys_are_told_by_the_side_that_lacks_them(
    moving: tuple[int, ...], fixed: tuple[int, ...], lacking: dict[str, set[int]]
) -> None:
    files = {name: Path(name) for name in ("moving", "fixed", "moving_labels", "fixed_labels")}
    pair = Pair(id="a", patients=("p",), row=2, **files)  # type: ignore[arg-type] # by name
    findings = {
        use: labels(moving if column == "moving_labels" else fixed)
        for column, use in uses(pair).items()
    }
    assert agreement.one_sided_keys(pair, findings) == lacking


def slice_of(
    place: tuple[float, float, float], sha256: str, shape: tuple[int, int, int]
) -> Finding:
    return replace(image(affine(place), sha256), shape=shape)


def test_slices_of_one_plane_have_no_problem() -> None:
    sides = {
        "moving": slice_of((1, 0, 0), "m", (8, 8, 1)),
        "fixed": slice_of((0, 0, 0), "f", (8, 9, 1)),
    }
    assert problems(**sides) == []


@pytest.mark.parametrize("rule", ["header", "centre"])
def test_a_slice_against_a_volume_is_refused(rule: AlignmentRule) -> None:
    sides = {
        "moving": slice_of((0, 0, 0), "m", (8, 8, 1)),
        "fixed": slice_of((0, 0, 0), "f", (8, 8, 8)),
    }
    (problem,) = problems(rule, **sides)
    assert (problem.severity, problem.column) == ("ERROR", "moving_image")
    assert "the moving image is one slice and the fixed one a volume" in problem.message


def test_slices_in_different_planes_are_refused_unless_they_are_centred() -> None:
    sides = {
        "moving": slice_of((0, 0, 60), "m", (8, 8, 1)),
        "fixed": slice_of((0, 0, 0), "f", (8, 8, 1)),
    }
    told = problems(**sides)
    assert [problem.severity for problem in told if "mm from the plane" in problem.message] == [
        "ERROR"
    ]
    assert problems("centre", **sides) == []


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        (((1, "prostate"),), ((1, "prostate"),), 0),
        (((1, "Prostate"),), ((1, "prostate"),), 0),
        (((1, "prostate"),), ((2, "rectum"),), 0),
        (((1, "prostate"), (2, "rectum")), ((1, "rectum"), (2, "prostate")), 2),
        ((), ((1, "prostate"),), 0),
    ],
)
def test_one_label_under_two_names_is_told(
    first: tuple[tuple[int, str], ...], second: tuple[tuple[int, str], ...], count: int
) -> None:
    sides = (Path("moving.seg.nrrd"), Path("fixed.seg.nrrd"))
    pair = Pair(
        id="a",
        patients=("p",),
        moving=Path("moving.nii"),
        fixed=Path("fixed.nii"),
        moving_labels=sides[0],
        fixed_labels=sides[1],
        row=2,
    )
    findings: dict[tuple[Path, Kind], Finding] = {
        (sides[0], "labels"): Finding(kind="labels", names=first),
        (sides[1], "labels"): Finding(kind="labels", names=second),
        (pair.moving, "image"): Finding(kind="image"),
        (pair.fixed, "image"): Finding(kind="image"),
    }
    told = [problem for _, problem in agreement.misnamed([pair], findings)]
    assert len(told) == count
    assert all("in 1 other files" in problem.message for problem in told)
