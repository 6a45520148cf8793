"""Whole runs of other kinds: a finished model on another cohort; tested, always-trained and repeated."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import yaml

from clones import NETWORK, TRAINING, Clone, jobs, simulate


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def write(study: Clone, name: str, **keys: object) -> Path:
    path = study.config.with_name(f"{name}.yaml")
    path.write_text(
        yaml.safe_dump({"study": name, "plan": {"spacing_mm": 8.0, "alignment": "centre"}} | keys)
    )
    return path


def test_a_finished_model_registers_an_unlabelled_cohort(finished: Clone) -> None:
    simulate(finished, "other", "--unlabelled", "--pairs", "2", "--patients", "2", "--seed", "9")
    plan = json.loads((finished.results / "cohort/plan.json").read_text())
    grid = {"spacing_mm": plan["spacing_mm"], "shape": plan["shape"], "alignment": "centre"}
    config = write(
        finished, "applied", manifest="../other/manifest.tsv", model="../results/trial/models/a", plan=grid
    )
    done = finished.run(config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [
        name for name in jobs(done.stdout + done.stderr) if name.startswith(("train", "prepare_labels"))
    ]
    results = finished.root / "results/applied"
    ids = [
        line.split("\t")[0] for line in (finished.root / "other/manifest.tsv").read_text().splitlines()[1:]
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
    everyone = json.loads((results / "models/c/fold-all/model.json").read_text())["patients"]["trained_on"]
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
    assert "trial.yaml: `study` is given twice" in done.stdout + done.stderr
    second = finished.root / "config/second.yaml"
    second.write_bytes(finished.config.read_bytes())
    done = finished.run("config/second.yaml", "--dry-run")  # after --configfile's first
    assert done.returncode == 1
    assert "give one --configfile" in done.stdout + done.stderr
