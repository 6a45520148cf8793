from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from builders import faulty_files
from tenter import config, networks
from tenter.config import LabelFiles
from tenter.config.alternatives import alternatives, names
from tenter.intake import forecast
from tenter.intake.file_scan import Examiner
from tenter.intake.forecast import Forecast
from tenter.records import Plan
from tenter.study import Study

SMALL = config.UNetNetwork(channels=4, depth=1)
PLAN = Plan(shape=(10, 10, 10), spacing_mm=(1.0, 1.0, 1.0), intensity="zscore", alignment="header")


STUDY = {
    "study": "s",
    "manifest": "manifest.tsv",
    "folds": {"count": 2},
    "models": {"base": {"network": SMALL.model_dump(), "training": {"steps": 10, "batch": 2}}},
}


def needs(folder: Path, **changes: object) -> Forecast:
    path = faulty_files.cohort(folder)
    study = Study.load(path, STUDY | changes)
    found = Examiner(root=folder, labels=LabelFiles()).findings(study.cohort.pairs)
    return forecast.forecast(study, PLAN, found)


def test_weights_are_counted_as_torch_counts_them() -> None:
    parameters, _ = forecast.arithmetic(SMALL, 1, 2)
    assert parameters == sum(weight.numel() for weight in networks.build(SMALL, 3).parameters())


def test_arithmetic_grows_with_channels_as_convolutions_do() -> None:
    narrow, wide = (forecast.arithmetic(config.UNetNetwork(channels=n), 1, 1)[1] for n in (16, 32))
    assert 3.5 < wide / narrow < 4.1


def test_counting_draws_no_random_number() -> None:
    before = torch.random.get_rng_state()
    forecast.arithmetic(SMALL, 1, 1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_cases_hold_two_images_and_four_labels_a_pair(tmp_path: Path) -> None:
    assert needs(tmp_path).cases_bytes == 3 * 1000 * (4 + 4 + 4)


def test_fields_follow_what_is_exported(tmp_path: Path) -> None:
    bare = needs(tmp_path, export={"field": False, "warped_image": False}).fields_bytes
    assert bare == {"transform": 3 * 24 * 1000}
    full = needs(tmp_path).fields_bytes
    voxels = math.prod(faulty_files.SHAPE)
    packed = {"field": int(3 * 0.9 * 12 * voxels), "warped_image": int(3 * 0.9 * 4 * voxels)}
    assert full == bare | packed


@pytest.mark.parametrize("name", ["ras", "fsl", "learn2reg", "inverse", "warped_labels"])
def test_each_further_export_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    found = needs(tmp_path, export={name: True})
    assert found.fields_bytes[name] > 0
    assert f"{name} {forecast.size(found.fields_bytes[name])}" in found.lines()[0]
    assert name not in needs(tmp_path).lines()[0]


@pytest.mark.parametrize(
    ("voxels", "finer"),
    [(10_000, 64), (1_000_000, 8), (30_000_000, 1)],
)
def test_an_inverse_is_as_fine_as_memory_allows(voxels: int, finer: int) -> None:
    assert forecast.inverse_voxels(voxels) == pytest.approx(1.7 * voxels * finer)


def test_an_ensemble_writes_its_members_transforms_too(tmp_path: Path) -> None:
    path = faulty_files.cohort(tmp_path)
    before = needs(tmp_path).fields_bytes["transform"]
    table = path.parent / "manifest.tsv"
    head, *rows = table.read_text().splitlines()
    cells = [head + "\tset", rows[0] + "\tcv", rows[1] + "\tcv", rows[2] + "\ttest"]
    study = Study.load(path, STUDY)
    table.write_text("\n".join(cells) + "\n")
    tested = Study.load(path, STUDY)
    found = Examiner(root=tmp_path, labels=LabelFiles()).findings(study.cohort.pairs)
    assert (
        forecast.forecast(tested, PLAN, found).fields_bytes["transform"] == before + 2 * 24 * 1000
    )


def test_a_test_time_option_writes_files_and_trains_nothing(tmp_path: Path) -> None:
    model = {"network": SMALL.model_dump(), "training": {"steps": 10, "batch": 2}}
    seeds = {"base": model | {"seeds": [0, 1]}}
    options = {"seeds": {"ensemble": True}, "refined": {"refine": {}}}
    plain = needs(tmp_path, models=seeds)
    more = needs(tmp_path, models={"base": seeds["base"] | {"test_time": options}})
    assert (more.trainings, more.models_bytes) == (plain.trainings, plain.models_bytes)
    # Two seeds; then a transform of the ensemble and of its two members, and one of the refined.
    assert more.fields_bytes["transform"] == 3 * plain.fields_bytes["transform"]
    assert more.fields_bytes["field"] == 2 * plain.fields_bytes["field"]


def test_hours_are_proportional_to_steps_and_folds(tmp_path: Path) -> None:
    once = needs(tmp_path)
    model = {"network": SMALL.model_dump(), "training": {"steps": 20, "batch": 2}}
    more = needs(tmp_path, folds={"count": 3}, models={"base": model})
    assert (once.trainings, more.trainings) == (2, 3)
    assert more.training_hours == pytest.approx(3 * once.training_hours)


def hours(folder: Path, losses: dict[str, object], **training: object) -> float:
    """Of 1000 steps of one pair of 1000 voxels; the overhead of a step is left out."""
    model = {"network": SMALL.model_dump(), "losses": losses}
    model["training"] = {"steps": 1000, "batch": 1} | training
    found = needs(folder, models={"base": model})
    return found.training_hours - 2 * 1000 * forecast.SECONDS_PER_STEP / (3600 * found.cores)


def test_losses_of_images_are_counted_in(tmp_path: Path) -> None:
    plain: dict[str, object] = {"labels": [], "images": [{"name": "ssd"}], "regularisers": []}
    dear = plain | {"images": [{"name": "mind"}, {"name": "mutual_information"}]}
    terms = (config.SsdLoss(), config.MindLoss(), config.MutualInformationLoss())
    more = {term.name: term.seconds for term in terms}
    seconds = (hours(tmp_path, dear) - hours(tmp_path, plain)) * 3600 * needs(tmp_path).cores
    # Two trainings of 1000 steps, 1000 voxels each.
    assert seconds == pytest.approx(2e6 * (more["mind"] + more["mutual_information"] - more["ssd"]))


def test_all_of_the_labels_take_longer_than_one(tmp_path: Path) -> None:
    losses: dict[str, object] = {"labels": [{"name": "jaccard"}], "regularisers": []}
    one, two, many = (hours(tmp_path, losses, labels_per_pair=count) for count in (1, 2, "all"))
    # The pairs of the cohort have two labels.
    assert one < two == many
    fewer: dict[str, object] = {
        "labels": [{"name": "jaccard", "scales_mm": [0, 3]}],
        "regularisers": [],
    }
    assert hours(tmp_path, fewer) < one


def test_registering_both_ways_takes_the_network_twice(tmp_path: Path) -> None:
    alone, both = (
        hours(tmp_path, {"regularisers": terms})
        for terms in ([], [{"name": "inverse_consistency"}])
    )
    flops = forecast.arithmetic(SMALL, 1, 1, PLAN.shape)[1]
    assert both - alone > 2e6 * forecast.PASSES * flops / forecast.FLOPS_PER_CORE / (
        3600 * needs(tmp_path).cores
    )


@pytest.mark.parametrize("term", list(alternatives(config.Term)), ids=lambda term: term.__name__)
def test_what_every_loss_takes_is_known(term: type[config.Term]) -> None:
    assert term.costs.keys() == set(names(term))


def test_lines_say_what_the_time_is_based_on(tmp_path: Path) -> None:
    disk, time = needs(tmp_path).lines()
    assert "free" in disk
    assert "GFLOP/s" in time


def test_existing_finds_the_folder_above(tmp_path: Path) -> None:
    assert forecast.existing(tmp_path / "a" / "b") == tmp_path


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_234_000_000, "1.23 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert forecast.size(count) == text
