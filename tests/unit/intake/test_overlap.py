"""Label overlap before registration: coarse masks against full ones,
and which alignment is better.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import ndimage

from tenter.formats.volumes import LabelVolume
from tenter.intake import occupancy, overlap
from tenter.intake.integrity import Finding, Findings
from tenter.intake.occupancy import Occupancy, parse_occupancy, sampled
from tenter.records import Pair
from tenter.spatial.geometry import translation


def ball(shape: tuple[int, int, int], centre: tuple[float, ...], radius: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.asarray(((grid - np.array(centre)) ** 2).sum(axis=-1) <= radius**2)


def label_map(masks: dict[int, np.ndarray], affine: np.ndarray | None = None) -> LabelVolume:
    values = np.zeros(next(iter(masks.values())).shape, np.uint8)
    for key, mask in masks.items():
        values[mask] = key
    return LabelVolume(values, np.eye(4) if affine is None else affine, tuple(masks))


def occupied(volume: LabelVolume) -> Occupancy:
    found = sampled(volume)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("shape", "radius", "shift"),
    [
        ((60, 60, 60), 15.0, (0.0, 0.0, 0.0)),
        ((60, 60, 60), 15.0, (6.0, 0.0, -4.0)),
        ((100, 80, 40), 12.0, (3.0, 3.0, 3.0)),
        ((40, 200, 60), 8.0, (0.0, -7.0, 0.0)),
        ((30, 30, 30), 9.0, (30.0, 0.0, 0.0)),
        ((150, 150, 150), 40.0, (20.0, 10.0, 0.0)),
    ],
)
def test_coarse_dice_is_close_to_that_of_all_voxels(
    shape: tuple[int, int, int], radius: float, shift: tuple[float, float, float]
) -> None:
    mask = ball(shape, tuple(size / 2 for size in shape), radius)
    side = occupied(label_map({1: mask}))
    moved = ndimage.shift(mask.astype(float), np.negative(shift), order=0) > 0.5
    exact = 2 * (mask & moved).sum() / (2 * mask.sum())
    found = occupancy.dice(side, side, translation(np.array(shift)))
    assert found == pytest.approx(exact, abs=0.04)


def test_sides_of_other_grids_and_orders_are_compared_in_mm() -> None:
    fixed = label_map({1: ball((60, 60, 60), (30, 30, 30), 12.0)})
    flip = np.diag([-2.0, 2.0, 2.0, 1.0])
    flip[0, 3] = 58.0
    moving = label_map(
        {1: ball((30, 30, 30), (14, 15, 15), 6.0)}, flip
    )  # its centre: 58 - 28 = 30 mm
    assert occupancy.dice(occupied(moving), occupied(fixed), np.eye(4)) == pytest.approx(
        1.0, abs=0.08
    )
    assert occupancy.distance_mm(occupied(moving), occupied(fixed), np.eye(4)) == pytest.approx(
        0, abs=0.6
    )


def test_a_scaling_alignment_counts_volumes_on_the_fixed_side() -> None:
    small, large = (
        label_map({1: ball((70, 70, 70), (35, 35, 35), radius)}) for radius in (10.0, 20.0)
    )
    doubled = np.diag([2.0, 2.0, 2.0, 1.0])
    doubled[:3, 3] = -35
    assert occupancy.dice(occupied(large), occupied(small), doubled) == pytest.approx(1.0, abs=0.08)


def test_labels_are_compared_by_key() -> None:
    one = label_map(
        {1: ball((40, 40, 40), (12, 20, 20), 7), 2: ball((40, 40, 40), (28, 20, 20), 7)}
    )
    swapped = LabelVolume(np.where(one.values > 0, 3 - one.values, 0), one.affine, (1, 2))
    assert occupancy.dice(occupied(one), occupied(swapped), np.eye(4)) == 0
    other = label_map({5: ball((40, 40, 40), (20, 20, 20), 7)})
    assert occupancy.dice(occupied(one), occupied(other), np.eye(4)) is None


@pytest.mark.parametrize("channels", [1, 3, 20])
def test_stacks_are_sampled_channel_by_channel(channels: int) -> None:
    masks = np.stack([ball((40, 30, 20), (8 + index, 15, 10), 5.0) for index in range(channels)])
    found = occupied(LabelVolume(masks.astype(np.float32), np.eye(4), tuple(range(channels))))
    assert len(found.keys) == min(channels, occupancy.LABELS)
    assert occupancy.distance_mm(
        found, found, translation(np.array([0.0, 3.0, 4.0]))
    ) == pytest.approx(5.0)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_label_too_small_for_any_sample_is_found(size: int) -> None:
    mask = np.zeros((300, 200, 150), bool)
    mask[201 : 201 + size, 99 : 99 + size, 7 : 7 + size] = True
    masks = occupied(label_map({4: mask})).masks
    middle = occupancy._centroids_mm(masks, np.eye(4))  # noqa: SLF001
    assert occupied(label_map({4: mask})).keys == (4,)
    assert middle.shape == (1, 3)


@pytest.mark.parametrize("shape", [(20, 20, 20), (20, 20, 1), (1, 1, 1)])
def test_nothing_is_sampled_of_no_label(shape: tuple[int, int, int]) -> None:
    assert sampled(LabelVolume(np.zeros(shape, np.uint8), np.eye(4), ())) is None
    assert sampled(LabelVolume(np.zeros((2, *shape), np.float32), np.eye(4), (0, 1))) is None


@given(shift=some.tuples(*[some.integers(-8, 8)] * 3), size=some.integers(18, 70))
@settings(max_examples=25)
def test_an_occupancy_survives_its_file_and_shifts_shift_it(
    shift: tuple[int, ...], size: int
) -> None:
    mask = ball((size, size, size), (size / 2,) * 3, size / 4)
    found = occupied(label_map({1: mask}))
    again = parse_occupancy(asdict(found))
    placed = translation(np.array(shift, dtype=np.float64))
    assert occupancy.distance_mm(found, again, placed) == pytest.approx(
        float(np.linalg.norm(shift)), abs=1e-9
    )


def cohort(
    offsets: list[tuple[float, float, float]], *, placed_by_header: bool, radius: float = 8.0
) -> tuple[list[Pair], Findings]:
    """Pairs of two balls; the header lays either the volumes or the balls on one another."""
    pairs, findings = [], {}
    for number, offset in enumerate(offsets):
        paths = [Path(f"{number}-{name}") for name in ("mr", "us", "mrl", "usl")]
        pair = Pair(
            id=f"p{number}", patients=(f"p{number}",), moving=paths[0], fixed=paths[1],
            moving_labels=paths[2], fixed_labels=paths[3],
        )  # fmt: skip
        pairs.append(pair)
        affine = translation(np.array(offset))
        inside = (
            (20.0, 20.0, 20.0) if not placed_by_header else tuple(np.subtract((20, 20, 20), offset))
        )
        volumes = (label_map({1: ball((40,) * 3, inside, radius)}, affine),
                   label_map({1: ball((40,) * 3, (20, 20, 20), radius)}))  # fmt: skip
        for side, volume in zip((0, 1), volumes, strict=True):
            rows = tuple(tuple(map(float, row)) for row in volume.affine)
            head = {"shape": (40, 40, 40), "affine": rows, "sha256": "x"}
            mass = tuple(float(value) + 20 for value in volume.affine[:3, 3])
            image = Finding(kind="image", mass_mm=mass, **head)  # type: ignore[arg-type]
            findings[paths[side], "image"] = image
            findings[paths[2 + side], "labels"] = Finding(
                kind="labels",
                keys=(1,),
                occupancy=sampled(volume),
                **head,  # type: ignore[arg-type]
            )
    return pairs, findings  # type: ignore[return-value]


APART = [(6.0, 0.0, 0.0), (0.0, -7.0, 2.0), (5.0, 5.0, 0.0)]


@pytest.mark.parametrize(
    ("placed_by_header", "chosen", "better"),
    [
        (False, "header", "centre"),
        (False, "centre", None),
        (False, "mass", None),
        (True, "header", None),
        (True, "centre", "header"),
        (True, "mass", "header"),
    ],
)
def test_the_worse_alignment_is_told_with_the_better_one(
    *, placed_by_header: bool, chosen: str, better: str | None
) -> None:
    apart = cohort(APART, placed_by_header=placed_by_header)
    found = overlap.overlaps(*apart, chosen)  # type: ignore[arg-type]
    faults = list(overlap.worse(found, Path("config.yaml")))
    assert [fault.fix for fault in faults] == (
        [f"set `plan.alignment: {better}`"] if better else []
    )
    assert {(fault.column, fault.severity) for fault in faults} <= {("plan.alignment", "WARNING")}


def test_figures_of_both_alignments_are_told() -> None:
    found = overlap.overlaps(*cohort(APART, placed_by_header=False), "header")
    (fault,) = overlap.worse(found, Path("config.yaml"))
    # Two balls of radius 8 mm, 7.07 mm apart: 1 - 3d / 4r + d^3 / 16 r^3 = 0.38.
    assert fault.message.startswith("labels overlap by a Dice of 0.38 by `header`, ")
    assert fault.message.endswith("1.00 by `centre` (medians of 3 pairs, before registration)")
    (line,) = overlap.line(found)
    assert line.endswith("by `header` (chosen), 1.00 by `centre`")


def test_labels_that_no_alignment_overlaps_are_compared_by_distance() -> None:
    pairs, findings = cohort([(0.0, 0.0, 0.0)] * 2, placed_by_header=True, radius=2.0)
    for pair in pairs:
        for rule, place in (("moving", (60.0, 0.0, 0.0)), ("fixed", (0.0, 0.0, 0.0))):
            label = label_map({1: ball((40,) * 3, (32 if rule == "moving" else 20, 20, 20), 2.0)})
            side = LabelVolume(label.values, translation(np.array(place)), (1,))
            rows = tuple(tuple(map(float, row)) for row in side.affine)
            image = Finding(kind="image", shape=(40, 40, 40), affine=rows, sha256="x")
            findings[getattr(pair, rule), "image"] = image  # type: ignore[index]
            findings[getattr(pair, f"{rule}_labels"), "labels"] = Finding(  # type: ignore[index]
                kind="labels", keys=(1,), sha256="x", occupancy=sampled(side)
            )
    (fault,) = overlap.worse(overlap.overlaps(pairs, findings, "header"), Path("c.yaml"))
    assert fault.message.startswith(
        "label centroids are 72 mm apart by `header`, 12 mm by `centre`"
    )


def test_of_an_applied_model_the_images_are_to_be_looked_at() -> None:
    found = overlap.overlaps(*cohort(APART, placed_by_header=False), "header")
    (fault,) = overlap.worse(found, Path("config.yaml"), Path("model"))
    assert fault.column == "model"
    assert fault.fix == "check the headers of the images, or apply a model trained with `centre`"


def test_pairs_without_labels_are_passed_over() -> None:
    pairs, findings = cohort(APART, placed_by_header=False)
    bare = Pair(id="b", patients=("b",), moving=pairs[0].moving, fixed=pairs[0].fixed)
    assert len(overlap.overlaps([bare, *pairs], findings, "header")[0].dice) == 3
    assert overlap.overlaps([bare], findings, "header") == ()
    assert list(overlap.worse((), Path("c.yaml"))) == []
    assert list(overlap.line(())) == []


def test_a_large_cohort_is_compared_by_a_part_of_its_pairs() -> None:
    pairs, findings = cohort(APART[:1], placed_by_header=False)
    found = overlap.overlaps(pairs * 1000, findings, "header")
    assert 50 <= len(found[0].dice) <= overlap.PAIRS
