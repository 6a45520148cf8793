"""A study of baselines alone, with a method that two files add, measured by the same rules."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from builders.clones import Clone, clone, simulate, write_config
from tenter import files

NAMES = ("start", "ants", "shifted", "own")
SHIFT_MM = (3.0, -2.0, 1.0)
METHOD = '''"""Shifts every pair."""

import torch

from tenter.spatial.transform import Transform


def register(_, images, settings):
    field = torch.full((1, 3, *images.fixed.shape[1:]), settings.voxels)
    return Transform(images.alignment, field, images.affine)
'''
CUSTOM = """
import numpy as np

def shift(pair, images):
    return np.full((3, *images.fixed.shape[1:]), 0.5)
"""
METRIC = """
def missed(warped, fixed):
    return 100 * (fixed & ~warped).sum() / fixed.sum()
"""
SETTINGS = '''class Shift(Method):
    """Shifts every pair."""

    method: Literal["shift"] = "shift"
    """A shift."""
    voxels: float = 0.5
    """Displacement along each axis in voxels."""


_BuiltIn = Annotated[Shift | Identity'''


def add_method(made: Clone) -> None:
    """Add the method `shift`: a module of its own, and its settings."""
    (made.root / "src/tenter/baselines/shift.py").write_text(METHOD)
    path = made.root / "src/tenter/config/baselines.py"
    text = path.read_text()
    assert "_BuiltIn = Annotated[Identity" in text
    path.write_text(text.replace("_BuiltIn = Annotated[Identity", SETTINGS))


def pairs(made: Clone) -> list[dict[str, str]]:
    with made.manifest.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def write_transforms(made: Clone) -> None:
    """A translation for each pair, as another program would write it."""
    folder = made.root / "ants"
    folder.mkdir()
    for row in pairs(made):
        transform = sitk.TranslationTransform(3, SHIFT_MM)
        sitk.WriteTransform(transform, str(folder / f"{row['pair']}.tfm"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A finished study that trains nothing."""
    made = clone(tmp_path_factory.mktemp("baselines"))
    simulate(made, "cohort", "--pairs", "4", "--patients", "4", "--seed", "1")
    write_transforms(made)
    add_method(made)
    baselines = {
        "start": {"method": "identity"},
        "ants": {"method": "external", "transform": "../ants/{pair}.tfm"},
        "shifted": {"method": "shift"},
        "own": {"method": "my_method.py:shift"},
    }
    metric = {"name": "my_metric.py:missed", "better": "lower", "unit": "%", "title": "Missed part"}
    write_config(
        made,
        models={},
        baselines=baselines,
        folds={"count": 2},
        report={"examples": 1},
        evaluation={"metrics": [metric]},
    )
    made.config.with_name("my_method.py").write_text(CUSTOM)
    made.config.with_name("my_metric.py").write_text(METRIC)
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def rows(study: Clone, table: str = "metrics") -> list[dict[str, str]]:
    with (study.results / f"{table}.tsv").open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_every_baseline_is_measured_on_every_pair(study: Clone) -> None:
    expected = {row["pair"] for row in pairs(study)}
    for name in NAMES:
        assert {row["pair"] for row in rows(study) if row["model"] == name} == expected


def test_all_are_compared_with_the_same_state_before(study: Clone) -> None:
    start, *others = (
        [float(row["before"]) for row in rows(study) if row["model"] == name and row["before"]]
        for name in ("start", "ants", "shifted")
    )
    assert start
    assert all(before == pytest.approx(start, rel=1e-12) for before in others)


def test_the_identity_leaves_everything_as_it_was(study: Clone) -> None:
    figures = [
        (float(row["before"]), float(row["after"]))
        for row in rows(study)
        if row["model"] == "start" and row["role"] != "field" and row["after"]
    ]
    assert figures
    assert all(after == pytest.approx(before, rel=1e-6) for before, after in figures)


def test_an_external_transform_is_applied_as_it_is(study: Clone) -> None:
    pair = pairs(study)[0]["pair"]
    written = sitk.ReadTransform(str(study.results / f"fields/ants/{pair}/transform.h5"))
    image = sitk.ReadImage(str(study.manifest.parent / pairs(study)[0]["fixed_image"]))
    for index in ((0, 0, 0), tuple(size - 1 for size in image.GetSize())):
        point = image.TransformIndexToPhysicalPoint(index)
        moved = np.subtract(written.TransformPoint(point), point)
        assert moved == pytest.approx(SHIFT_MM, abs=1e-4)


def test_the_report_states_what_each_costs(study: Clone) -> None:
    page = (study.results / "report.html").read_text()
    costs = page[page.index("What registration costs") :]
    assert all(f">{name}<" in costs for name in NAMES)
    sidecar = files.read_json(study.results / f"fields/start/{pairs(study)[0]['pair']}/infer.json")
    assert sidecar["seconds"]["method"] >= 0


def test_the_report_speaks_of_no_network(study: Clone) -> None:
    page = (study.results / "report.html").read_text()
    assert "Baseline start registered 4 image pairs of 4 patients." in page
    assert "network of the fold" not in page


def test_nothing_is_trained_or_published(study: Clone) -> None:
    assert not (study.results / "models").exists()
    assert not list((study.results / "tracking").glob("*.txt"))


def test_a_changed_transform_makes_its_own_chunk_stale(study: Clone) -> None:
    first = pairs(study)[0]
    path = study.root / f"ants/{first['pair']}.tfm"
    with study.edited(path):
        sitk.WriteTransform(sitk.TranslationTransform(3, (9.0, 0.0, 0.0)), str(path))
        stale = study.stale()
    (chunk,) = {name.rpartition(" ")[2] for name in stale if name.startswith("baseline")}
    assert stale == {f"baseline ants {chunk}", f"evaluate ants {chunk}", "summarise", "report"}
    table = (study.results / f"fields/tables/ants/{chunk}.tsv").read_text()
    assert first["pair"] in table


def test_a_removed_baseline_leaves_results_to_prune(study: Clone) -> None:
    content = study.settings()
    del content["baselines"]["shifted"]
    with study.edited(study.config) as path:
        path.write_text(files.canonical(content))
        assert study.stale() == {"summarise", "report"}
        listed = study.tool("tenter", "prune", "config/trial.yaml").stdout.splitlines()[:-1]
    names = ("fields/shifted", "fields/tables/shifted", "mapped_points/shifted", "metrics/shifted")
    assert {Path(line).relative_to("results/trial").as_posix() for line in listed} <= set(names)
    assert "results/trial/fields/shifted" in listed


def test_no_label_file_is_reachable_from_a_baseline(study: Clone) -> None:
    listed = study.run("--dry-run", "--forcerun", "baseline", "--printshellcmds")
    commands = [line for line in listed.stdout.splitlines() if "tenter baseline" in line]
    assert commands
    assert not [line for line in commands if "labels" in line]
    for path in (study.results / "cohort/rows").glob("*.images.json"):
        assert "labels" not in path.read_text()


def test_a_custom_method_gives_what_a_built_in_one_gives(study: Clone) -> None:
    built_in, custom = (
        [row["after"] for row in rows(study) if row["model"] == name] for name in ("shifted", "own")
    )
    assert custom == built_in


def test_an_edit_of_a_custom_method_makes_its_baseline_stale_alone(study: Clone) -> None:
    with study.edited(study.config.with_name("my_method.py")) as path:
        path.write_text(path.read_text().replace("0.5", "0.6"))
        stale = study.stale()
    assert {step.partition(" ")[0] for step in stale} == {
        "baseline",
        "evaluate",
        "summarise",
        "report",
    }
    assert {step.split()[1] for step in stale if " " in step} == {"own"}


def test_pairs_that_got_worse_are_counted_by_a_custom_metric(study: Clone) -> None:
    lines = [line for line in rows(study, "summary") if line["metric"] == "missed"]
    assert {line["unit"] for line in lines} == {"%"}
    (pooled,) = (
        line
        for line in lines
        if (line["model"], line["fold"], line["role"], line["label"])
        == ("ants", "all", "structure", "")
    )
    figures = [
        float(row["after"]) > float(row["before"])
        for row in rows(study)
        if (row["model"], row["metric"], row["role"]) == ("ants", "missed", "structure")
    ]
    assert len(figures) == 4
    assert float(pooled["worse_rate"]) == sum(figures) / 4


def test_a_custom_metric_is_compared_without_correction(study: Clone) -> None:
    lines = rows(study, "comparison")
    assert {line["p_holm"] for line in lines if line["metric"] == "missed"} == {""}
    models = {line["model"] for line in lines if line["metric"] == "missed"}
    assert models == {"ants", "shifted", "own"}


def test_the_report_shows_a_custom_metric_by_its_title(study: Clone) -> None:
    page = (study.results / "report.html").read_text()
    assert "Missed part (%)" in page
    assert "A metric of this study: my_metric.py:missed." in page
    assert "Missed part of the gland" in page
