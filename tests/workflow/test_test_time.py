"""Test-time options of a small study: the workflow's own commands, and what it calls stale."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
import yaml

from builders.clones import NETWORK, TRAINING, Clone, clone, jobs, simulate, write_config
from builders.row_files import row_file
from tenter import files
from tenter.cli.main import main
from tenter.formats import transforms
from tenter.study import Study
from tenter.tools.session import opening_commands

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's

# The commands run outside Snakemake here, so it has records of few outputs.

OPTIONS: dict[str, Any] = {
    "seeds": {"ensemble": True},
    "posed": {"poses": {"count": 2, "rotation_deg": 8}},
    "refined": {"refine": {"steps": 4, "spacing_mm": 20}},
}
NAMES = ("m", "m-seed1", "m-seeds", "m-posed", "m-refined")
CLOSING = {"summarise", "report", "publish m", "publish m-seed1"}
REDONE = {"infer m-refined 0-0", "evaluate m-refined 0-0"}


def commands(study: Clone) -> list[list[str]]:
    """The commands of all jobs that a run would start, in an order in which they can run."""
    done = study.run("--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stderr
    lines = re.findall(
        r"\btenter ([a-z-]+ (?:\S+ +)?--.*)$", done.stdout + done.stderr, re.MULTILINE
    )
    return [shlex.split(re.split(r" (?:2>>?|>) ", line)[0]) for line in lines]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A study of one model, two seeds and three options;
    each job's command runs in this process.
    """
    made = clone(tmp_path_factory.mktemp("options"))
    simulate(made, "cohort", "--pairs", "4", "--patients", "4", "--seed", "1")
    model = {"network": NETWORK | {"output": "velocity"}, "training": TRAINING}
    models = {"m": model | {"seeds": [0, 1], "test_time": OPTIONS}}
    write_config(made, models=models, folds={"count": 2}, report={"examples": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.root)
        known = Study.load(made.config.relative_to(made.root))
        tracking = known.results / "tracking/tracking.json"
        content = files.canonical(made.settings())
        for _, *words in opening_commands(known, content, known.results / "cohort", tracking):
            assert main(words) == 0
        known.cohort.record_folds(known.results / "cohort/folds.tsv")
        known.row_files.write()
        for words in commands(made):
            assert main(words) == 0, words
        yield made


@pytest.fixture(scope="module")
def redone(study: Clone) -> tuple[set[str], bytes]:
    """The jobs that ran once all of one chunk of an option was lost, and its figures before."""
    measured = study.results / "metrics/m-refined/0-0.tsv"
    before = measured.read_bytes()
    lost = [
        f"fields/m-refined/{pair}/infer.json"
        for pair, fold in fold_of(study).items()
        if fold == "0"
    ]
    for path in ("fields/tables/m-refined/0-0.tsv", "metrics/m-refined/0-0.tsv", *lost):
        (study.results / path).unlink()
    done = study.run("--", measured.relative_to(study.root).as_posix())
    assert done.returncode == 0, done.stdout + done.stderr
    return jobs(done.stdout + done.stderr), before


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def fold_of(study: Clone) -> dict[str, str]:
    """Pair to the fold that its patient is in."""
    folds = {row["patient"]: row["fold"] for row in table(study.results / "cohort/folds.tsv")}
    return {row["pair"]: folds[row["patient"]] for row in table(study.manifest)}


def test_the_commands_leave_nothing_to_do(study: Clone) -> None:
    assert study.stale() == set()


def test_every_option_is_measured_for_every_pair_in_its_own_fold(study: Clone) -> None:
    rows = [row for row in table(study.results / "metrics.tsv") if row["metric"] == "folding"]
    expected = [(name, pair, fold) for name in NAMES for pair, fold in fold_of(study).items()]
    assert sorted((row["model"], row["pair"], row["fold"]) for row in rows) == sorted(expected)


def test_nobody_is_registered_by_a_model_that_saw_them(study: Clone) -> None:
    weights = {
        files.read_json(path)["weights_sha256"]: files.read_json(path)
        for path in study.results.glob("models/*/fold-*/model.json")
    }
    patients = {row["pair"]: row["patient"] for row in table(study.manifest)}
    seen = 0
    for name in NAMES:
        for pair, patient in patients.items():
            said = files.read_json(study.results / f"fields/{name}/{pair}/infer.json")
            assert len(said["models"]) == (2 if name == "m-seeds" else 1)
            for member in said["models"]:
                known = weights[member["sha256"]]["patients"]
                assert patient not in {*known["trained_on"], *known["validated_on"]}
                seen += 1
    assert seen == 6 * len(patients)


def test_each_seeds_own_transform_lies_beside_their_mean(study: Clone) -> None:
    for pair, fold in fold_of(study).items():
        folder = study.results / "fields/m-seeds" / pair
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.h5")}
        members = {f"{model}/fold-{fold}/transform.h5" for model in ("m", "m-seed1")}
        assert found == {"transform.h5", *members}


def test_options_are_bit_equal_without_any_label(study: Clone, tmp_path: Path) -> None:
    bare = [
        {key: value for key, value in row.items() if "labels" not in key and "points" not in key}
        for row in table(study.manifest)
    ]
    for row in bare:
        row |= {key: str(study.manifest.parent / row[key]) for key in row if key.endswith("_image")}
    lines = ["\t".join(bare[0]), *("\t".join(row.values()) for row in bare)]
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    shutil.copytree(
        study.results / "cases", tmp_path / "cases", ignore=shutil.ignore_patterns("*labels*")
    )
    tested = [pair for pair, fold in fold_of(study).items() if fold == "0"]
    for name in NAMES[2:]:
        made = files.read_json(study.results / f"fields/tables/{name}/0-0.tsv.provenance.json")
        members = ("m", "m-seed1") if name == "m-seeds" else ("m",)
        words: dict[str, list[Any]] = {
            "rows": [row_file(tmp_path, tmp_path / "manifest.tsv", tested)],
            "images": [study.results / "cases/tables/0-0.images.tsv"],
            "cases": [tmp_path / "cases"],
            "models": [study.results / f"models/{member}/fold-0" for member in members],
            "settings": [files.canonical(made["settings"])],
            "code": [made["code"]],
            "output": [tmp_path / name],
            "table": [tmp_path / f"{name}.tsv"],
        }
        assert (
            main(
                [
                    "infer",
                    *(str(word) for key, some in words.items() for word in (f"--{key}", *some)),
                ]
            )
            == 0
        )
        for pair in tested:
            was, now = (
                root / f"{pair}/transform.h5"
                for root in (study.results / f"fields/{name}", tmp_path / name)
            )
            one, other = (transforms.read_transform(path).field for path in (was, now))
            assert torch.equal(one, other)


def test_each_pair_tells_what_was_done_to_it(study: Clone) -> None:
    for pair in fold_of(study):
        said = {
            name: files.read_json(study.results / f"fields/{name}/{pair}/infer.json").get(
                "test_time"
            )
            for name in NAMES
        }
        assert said["m"] is said["m-seed1"] is None
        assert said["m-seeds"] == {"members": 2, "poses": 0, "refine": None}
        assert said["m-posed"] == {"members": 1, "poses": 2, "refine": None}
        refine = said["m-refined"]["refine"]
        assert (refine["steps"], refine["failed_at"]) == (4, None)
        assert refine["loss_after"] <= refine["loss_before"]


def test_options_are_compared_with_the_first_model(study: Clone) -> None:
    lines = table(study.results / "comparison.tsv")
    assert {line["model"] for line in lines} == set(NAMES) - {"m"}
    assert {line["reference"] for line in lines} == {"m"}


def test_the_report_tells_what_each_costs(study: Clone) -> None:
    page = (study.results / "report.html").read_text()
    costs = page.partition('<section id="costs">')[2].partition("</section>")[0]
    rows = re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", costs)
    cells = {row[0]: row[1:] for row in (re.findall(r">([^<]+)</t[hd]>", row) for row in rows)}
    assert list(cells) == list(NAMES)
    assert [cells[name][1:4] for name in NAMES] == [
        ["1", "0", "0"], ["1", "0", "0"], ["2", "0", "0"], ["1", "2", "0"], ["1", "0", "4"]
    ]  # fmt: skip
    said = [
        files.read_json(study.results / f"fields/m-posed/{pair}/infer.json")["seconds"]["network"]
        for pair in fold_of(study)
    ]
    assert cells["m-posed"][4] == f"{statistics.median(said):.3g}"


def test_each_option_has_a_run_under_its_model(study: Clone) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{study.results}/tracking/mlflow.db")
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.role = 'test-time'")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`tenter.key` = 'm'")
    assert {run.info.run_name for run in runs} == set(NAMES[2:])
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    assert all("test/structure_dice_median" in run.data.metrics for run in runs)


def test_a_lost_chunk_of_an_option_is_made_again_with_equal_figures(
    study: Clone, redone: tuple[set[str], bytes]
) -> None:
    ran, before = redone
    assert ran == REDONE
    assert (study.results / "metrics/m-refined/0-0.tsv").read_bytes() == before


def changed(**refine: Any) -> dict[str, Any]:
    return OPTIONS | {"refined": {"refine": OPTIONS["refined"]["refine"] | refine}}


STALE: list[tuple[str, dict[str, Any] | str, set[str]]] = [
    ("steps", changed(steps=5), REDONE),
    ("loss that it reads", "losses/mind.py", REDONE),
    ("loss that it does not read", "losses/lncc.py", set()),
    ("another option", OPTIONS | {"posed": {"poses": {"count": 2, "scale": 0.1}}}, set()),
]
"""Beside what follows the chunk that was made again."""


@pytest.mark.parametrize(
    ("change", "expected"), [item[1:] for item in STALE], ids=[item[0] for item in STALE]
)
def test_what_an_option_reads_makes_its_own_jobs_stale(
    study: Clone, redone: tuple[set[str], bytes], change: dict[str, Any] | str, expected: set[str]
) -> None:
    """Of what Snakemake itself has run, and so remembers: one chunk of `m-refined`."""
    del redone
    if isinstance(change, str):
        with study.edited(study.root / "src/tenter" / change) as path:
            path.write_text(path.read_text() + "\nEDITED = 1\n")
            assert study.announced() == expected | CLOSING
        return
    content = study.settings()
    content["models"]["m"]["test_time"] = change
    with study.edited(study.config) as path:
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        assert study.announced() == expected | CLOSING
