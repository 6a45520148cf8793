from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tenter import config
from tenter.errors import InputError


def losses(**terms: Any) -> config.Losses:
    return config.Losses.model_validate(terms)


def test_the_default_is_dice_over_scales_and_bending_in_mm() -> None:
    chosen = losses()
    assert chosen.labels == (config.LabelLoss(),)
    assert chosen.images == ()
    assert chosen.regularisers == (config.BendingLoss(units="mm", weight=4.5),)


@pytest.mark.parametrize(
    ("keys", "weight"),
    [({}, 4.5), ({"units": "voxel"}, 0.5), ({"units": "voxel", "weight": 2}, 2)],
)
def test_the_default_weight_of_bending_follows_its_units(
    keys: dict[str, Any], weight: float
) -> None:
    (term,) = losses(regularisers=[{"name": "bending", **keys}]).regularisers
    assert term.weight == weight


def test_lengths_in_voxels_take_the_place_of_those_in_mm() -> None:
    chosen = losses(
        labels=[{"name": "dice", "scales_voxel": [0, 1, 2, 4, 8, 16]}],
        images=[{"name": "lncc", "window_voxel": 9}],
    )
    label, image = chosen.labels[0], chosen.images[0]
    assert isinstance(label, config.LabelLoss)
    assert isinstance(image, config.LnccLoss)
    assert (label.scales_mm, label.scales_voxel) == (None, (0, 1, 2, 4, 8, 16))
    assert (image.window_mm, image.window_voxel) == (None, 9)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (
            {"labels": [{"name": "dice", "scales_mm": [0], "scales_voxel": [0]}]},
            "needs one of scales_mm and",
        ),
        (
            {"labels": [{"name": "dice", "scales_mm": None}]},
            "needs one of scales_mm and scales_voxel",
        ),
        (
            {"images": [{"name": "lncc", "window_mm": 5, "window_voxel": 5}]},
            "needs one of window_mm and",
        ),
        ({"labels": []}, "nothing aligns"),
        ({"labels": [{"name": "dice", "weight": 0}]}, "nothing aligns"),
        ({"labels": [{"name": "lncc"}]}, "'name' does not match any of the expected tags"),
        ({"regularisers": [{"weight": 1}]}, "discriminator 'name'"),
        ({"images": [{"name": "lncc", "window_voxel": 2}]}, "greater than or equal to 3"),
    ],
)
def test_what_makes_no_loss_is_refused(terms: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        losses(**terms)


def test_terms_survive_the_way_through_json() -> None:
    chosen = losses(
        labels=[{"name": "jaccard", "scales_voxel": [1]}, {"name": "centroid"}],
        images=[{"name": "lncc", "window_voxel": 9}, {"name": "mind"}],
        regularisers=[{"name": "bending", "units": "voxel"}, {"name": "folding"}],
    )
    assert config.Losses.model_validate_json(chosen.model_dump_json()) == chosen


def test_terms_that_compare_images_are_known() -> None:
    assert losses(regularisers=[{"name": "bending"}, {"name": "folding"}]).comparing == ()
    images, both_ways = [{"name": "ssd"}], [{"name": "gradient"}, {"name": "inverse_consistency"}]
    assert losses(images=images, regularisers=both_ways).comparing == ("ssd", "inverse_consistency")


def test_the_former_single_label_term_is_pointed_to_its_list() -> None:
    model = {"losses": {"label": {"name": "dice"}}}
    with pytest.raises(InputError) as caught:
        config.parse({"study": "s", "manifest": "m.tsv", "models": {"a": model}}, Path("c.yaml"))
    assert "did you mean 'labels'?" in str(caught.value)
