"""Whole runs of other kinds: a finished model on another cohort;
tested, always-trained and repeated.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from pathlib import Path

import numpy as np
import yaml

from builders.clones import NETWORK, TRAINING, Clone, jobs, simulate
from tenter.formats import transforms


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def write(study: Clone, name: str, **keys: object) -> Path:
    path = study.config.with_name(f"{name}.yaml")
    path.write_text(yaml.safe_dump({"study": name} | keys))
    return path


def test_a_finished_model_registers_an_unlabelled_cohort(finished: Clone) -> None:
    simulate(finished, "other", "--unlabelled", "--pairs", "2", "--patients", "2", "--seed", "9")
    model = "../results/trial/models/a"
    config = write(finished, "applied", manifest="../other/manifest.tsv", model=model)
    done = finished.run(config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [
        name
        for name in jobs(done.stdout + done.stderr)
        if name.startswith(("train", "prepare_labels"))
    ]
    results = finished.root / "results/applied"
    ids = [
        line.split("\t")[0]
        for line in (finished.root / "other/manifest.tsv").read_text().splitlines()[1:]
    ]
    for pair in ids:
        made = {
            path.relative_to(results / "fields/a" / pair).as_posix()
            for path in (results / "fields/a" / pair).rglob("*.h5")
        }
        assert made == {"transform.h5", *(f"fold-{fold}/transform.h5" for fold in range(3))}
    assert {row["role"] for row in table(results / "metrics.tsv")} == {"field"}
    assert (results / "report.html").stat().st_size > 10_000
    assert finished.run("--dry-run", config=config).stdout.count("Job ") == 0
    assert_register_agrees(finished, results / "fields/a")
    described = [finished.results / f"models/a/fold-{fold}/model.json" for fold in range(3)]
    with finished.edited(described[2]) as path:
        path.write_text(path.read_text().replace('"seconds": ', '"seconds": 1'))
        told = finished.run("--dry-run", config=config)
        assert "infer a test-0" in jobs(told.stdout + told.stderr)
        assert not {"plan", "prepare_images test-0"} & jobs(told.stdout + told.stderr)
        path.write_text(path.read_text().replace('"centre"', '"header"'))
        told = finished.run("--dry-run", config=config)
    wanted = (
        "fold-2/model.json: was trained with another plan than fold-0: alignment header, not centre"
    )
    assert (told.returncode, wanted in told.stdout + told.stderr) == (1, True)
    with contextlib.ExitStack() as edits:
        for path in described:
            edits.enter_context(finished.edited(path))
            path.write_text(path.read_text().replace('"centre"', '"header"'))
        told = finished.run("--dry-run", config=config)
        assert jobs(told.stdout + told.stderr) >= {
            "plan",
            "prepare_images test-0",
            "infer a test-0",
        }
    write(
        finished,
        "applied",
        manifest="../other/manifest.tsv",
        model=model,
        plan={"alignment": "header"},
    )
    told = finished.run("--dry-run", config=config)
    assert (told.returncode, "plan.alignment: is header, but the" in told.stdout + told.stderr) == (
        1,
        True,
    )


def assert_register_agrees(study: Clone, fields: Path) -> None:
    """`tenter register` takes the points of a pair to where the study took them."""
    row = table(study.root / "other/manifest.tsv")[0]
    images = [f"other/{row[f'{side}_image']}" for side in ("moving", "fixed")]
    command = [
        sys.executable,
        "-m",
        "tenter.cli.main",
        "register",
        "--model",
        "results/trial/models/a",
    ]
    done = study.tool(
        *command, "--moving", images[0], "--fixed", images[1], "--out", "new", "--threads", "1"
    )
    assert done.returncode == 0, done.stderr
    places = np.array([[0.0, 0, 0], [10, -20, 15], [-30, 5, -8]])
    maps = (fields / row["pair"] / "transform.h5", study.root / "new/transform.h5")
    by_study, by_command = (transforms.read_transform(path).map_points(places) for path in maps)
    np.testing.assert_allclose(by_study, by_command, rtol=0, atol=1e-6)


def with_sets(study: Clone) -> Path:
    """The cohort with one tested and one always-trained patient."""
    header, *rows = study.manifest.read_text().splitlines()
    patients = list(dict.fromkeys(row.split("\t")[1] for row in rows))
    sets = dict.fromkeys(patients, "cv") | {patients[0]: "test", patients[1]: "train"}
    lines = [f"{header}\tset", *(f"{row}\t{sets[row.split(chr(9))[1]]}" for row in rows)]
    path = study.manifest.with_name("sets.tsv")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_tested_and_always_trained_patients_repeats_and_a_final_model(finished: Clone) -> None:
    manifest = with_sets(finished)
    model = {"network": NETWORK, "training": TRAINING, "seeds": [0, 3], "final": True}
    warm = model | {"warm_start": "../results/trial/models/b", "seeds": [0], "final": False}
    config = write(
        finished,
        "sets",
        plan={"spacing_mm": 8.0, "alignment": "centre"},
        manifest="../cohort/sets.tsv",
        labels={"format": "stack", "names": [{"name": "gland", "key": 0, "role": "structure"}]},
        folds={"count": 2},
        models={"c": model, "warm": warm},
        summary={"bootstrap": 100},
    )
    done = finished.run(config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    results = finished.root / "results/sets"
    sets = {row["pair"]: row["set"] for row in table(manifest)}
    trained = {name for name in jobs(done.stdout + done.stderr) if name.startswith("train ")}
    repeated = {f"train {name} {fold}" for name in ("c", "c-seed3") for fold in ("0", "1", "all")}
    assert trained == repeated | {"train warm 0", "train warm 1"}
    rows = table(results / "metrics.tsv")
    assert not [row for row in rows if sets[row["pair"]] == "train"]
    folds_of_tested = {row["fold"] for row in rows if sets[row["pair"]] == "test"}
    assert folds_of_tested == {"0", "1", "ensemble"}
    everyone = json.loads((results / "models/c/fold-all/model.json").read_text())["patients"][
        "trained_on"
    ]
    tested = {row["patient"] for row in table(manifest) if row["set"] == "test"}
    assert not tested & set(everyone)
    assert len(everyone) == len({row["patient"] for row in table(manifest)}) - len(tested)


def test_a_damaged_file_stops_the_run_before_any_job(finished: Clone) -> None:
    labels = finished.manifest.parent / table(finished.manifest)[0]["fixed_labels"]
    with finished.edited(labels) as path:
        path.write_bytes(path.read_bytes()[:500])
        done = finished.run()
        told = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"{labels.name}: is truncated" in told
    assert "nothing was started" in told
    assert not jobs(told)
    assert finished.stale() == set()


def test_a_key_given_twice_and_two_configurations_are_refused(finished: Clone) -> None:
    with finished.edited(finished.config) as path:
        path.write_text(f"{path.read_text(encoding='utf-8')}\nstudy: other\n", encoding="utf-8")
        done = finished.run("--dry-run")
    assert done.returncode == 1
    assert "`study` is given twice" in done.stdout + done.stderr
    second = finished.root / "config/second.yaml"
    second.write_bytes(finished.config.read_bytes())
    done = finished.run("config/second.yaml", "--dry-run")  # after --configfile's first
    assert done.returncode == 1
    assert "give one configuration file" in done.stdout + done.stderr
