"""The mirror in MLflow: one current run a fold, no point twice, and no training waits for it."""

from __future__ import annotations

import json
import logging
import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenter import files, tracking
from tenter.errors import DataError, TrackingError
from tenter.tracking import FoldResult, Mirror, ModelResult, OptionResult, Place
from tenter.tracking.runs import parameters
from tenter.tracking.store import client

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports

HISTORY = [{"step": 0.0, "val_dice": 0.5}, {"step": 10.0, "loss": 0.7, "val_dice": 0.6}]


def description(fold: str = "0", **changed: Any) -> dict[str, Any]:
    settings = {
        "network": {"name": "unet", "channels": 2},
        "seed": 1,
        "losses": {"regularisers": [{"name": "bending"}]},
    }
    identity = {"settings": "s", "cohort": "c", "code": "k", "fold": fold}
    return {
        "fold": fold,
        "settings": settings,
        "identity": identity,
        "trained_on": ["p", "q"],
    } | changed


def result(*folds: FoldResult, **figures: float) -> ModelResult:
    own = folds or (
        FoldResult(description=description(), history=HISTORY, figures={"test/dice": 0.8}),
    )
    return ModelResult(model="local", folds=own, figures=figures)


def runs(place: Place, *, deleted: bool = False) -> list[Run]:
    from mlflow.entities import ViewType  # noqa: PLC0415 - slow

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    return list(client(place).search_runs(["1"], run_view_type=view, order_by=["tags.fold"]))


def history(place: Place, run: Run, key: str) -> list[tuple[int, float]]:
    return [
        (point.step, point.value)
        for point in client(place).get_metric_history(run.info.run_id, key)
    ]


def test_starting_records_the_place(database: Path) -> None:
    uri = f"sqlite:///{database}/mlflow.db"
    manifest = files.sha256(database / "manifest.tsv")
    assert tracking.read_place(database / "tracking.json") == Place(
        uri, "demo", "1", "demo", 20.0, manifest
    )
    assert tracking.start(uri, "demo", "demo", 20.0).experiment_id == "1"


def test_several_may_start_a_fresh_database_at_once(tmp_path: Path) -> None:
    code = "import sys, tenter.tracking as t; print(t.start(sys.argv[1], *'es', 9.0).experiment_id)"
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/mlflow.db"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0] for process in started] == ["1\n"] * 2


def test_a_damaged_record_of_the_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "tracking.json").write_text("{}")
    with pytest.raises(DataError, match=r"tracking\.json"):
        tracking.read_place(tmp_path / "tracking.json")


def test_an_impossible_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="the tracking database cannot be created"):
        tracking.start(f"sqlite:///{tmp_path}/file/mlflow.db", "e", "s", 1.0)


def test_a_training_is_mirrored_while_it_goes(place: Place) -> None:
    with Mirror(place, "local", description()) as mirror:
        for row in HISTORY:
            mirror.record(row)
    (run,) = runs(place)
    assert (run.info.status, run.data.tags["tenter.key"], run.data.tags["fold"]) == (
        "FINISHED",
        "local/0",
        "0",
    )
    assert history(place, run, "val/dice") == [(0, 0.5), (10, 0.6)]
    assert history(place, run, "train/loss") == [(10, 0.7)]


@pytest.mark.parametrize(("error", "status"), [(SystemExit, "KILLED"), (ValueError, "FAILED")])
def test_how_a_training_ended_is_told(
    place: Place, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), Mirror(place, "local", description()):
        raise error
    assert runs(place)[0].info.status == status


def test_a_resumed_training_goes_on_in_its_run_without_doubling_points(place: Place) -> None:
    for rows in (HISTORY, [*HISTORY, {"step": 20.0, "val_dice": 0.7}]):
        with Mirror(place, "local", description()) as mirror:
            for row in rows:
                mirror.record(row)
    (run,) = runs(place)
    assert history(place, run, "val/dice") == [(0, 0.5), (10, 0.6), (20, 0.7)]


def test_a_retrained_fold_leaves_exactly_one_current_run(place: Place) -> None:
    other = description(
        identity=description()["identity"] | {"settings": "t"}, settings={"seed": 2}
    )
    for told in (description(), other):
        with Mirror(place, "local", told):
            pass
    (run,), (old,) = runs(place), runs(place, deleted=True)
    assert run.data.params["seed"] == "2"
    assert (run.data.tags["tenter.current"], old.data.tags["tenter.current"]) == ("true", "false")
    assert old.data.tags["superseded"] == run.info.run_id


def test_publishing_fills_only_what_a_live_run_lacks(place: Place) -> None:
    with Mirror(place, "local", description()) as mirror:
        mirror.record(HISTORY[0])
    tracking.publish(place, result())
    child = next(run for run in runs(place) if run.data.tags["role"] == "fold")
    assert history(place, child, "val/dice") == [(0, 0.5), (10, 0.6)]
    assert child.data.metrics["test/dice"] == 0.8


def test_publishing_twice_changes_nothing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    fold = FoldResult(
        description=description(),
        history=HISTORY,
        figures={"test/dice": 0.8},
        artifacts=[tmp_path / "model.json"],
    )
    texts = [tracking.publish(place, result(fold, **{"test/dice": 0.8})) for _ in range(2)]
    first = [
        (run.info.run_id, run.info.end_time, run.data.metrics, run.data.tags) for run in runs(place)
    ]
    tracking.publish(place, result(fold, **{"test/dice": 0.8}))
    assert first == [
        (run.info.run_id, run.info.end_time, run.data.metrics, run.data.tags) for run in runs(place)
    ]
    assert texts[0] == texts[1]
    assert all(
        len(history(place, run, key)) == len({*history(place, run, key)})
        for run in runs(place)
        for key in run.data.metrics
    )
    assert runs(place, deleted=True) == []


def test_folds_lie_below_their_model_and_tell_their_settings(place: Place) -> None:
    folds = [FoldResult(description=description(str(fold))) for fold in range(3)]
    tracking.publish(place, result(*folds, **{"test/dice": 0.81}))
    parent = next(run for run in runs(place) if run.data.tags["role"] == "cv")
    children = [run for run in runs(place) if run.data.tags["role"] == "fold"]
    assert [run.data.tags["fold"] for run in children] == ["0", "1", "2"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert parent.data.metrics == {"test/dice": 0.81}
    assert children[0].data.params["network.channels"] == "2"
    assert children[0].data.params["losses.regularisers.0.name"] == "bending"


def test_a_fold_that_is_no_more_is_retired(place: Place) -> None:
    folds = [FoldResult(description=description(str(fold))) for fold in range(3)]
    tracking.publish(place, result(*folds))
    tracking.publish(place, result(*folds[:2]))
    assert sorted(run.data.tags.get("fold", "") for run in runs(place)) == ["", "0", "1"]


def test_models_and_studies_do_not_touch_each_other(place: Place) -> None:
    tracking.publish(place, result())
    tracking.publish(place, replace(result(), model="global"))
    tracking.publish(replace(place, study="other"), result())
    assert len(runs(place)) == 6


CHANGES: dict[str, list[dict[str, float]]] = {
    "another value, and back": [{"dice": 0.8}, {"dice": 0.9}, {"dice": 0.8}],
    "one more figure": [{"dice": 0.8}, {"dice": 0.8, "tre": 2.0}],
    "one figure less": [{"dice": 0.8, "tre": 2.0}, {"dice": 0.8}],
    "finite to infinite": [{"tre": 4.0}, {"tre": math.inf}],
    "infinite to finite": [{"tre": math.inf}, {"tre": 4.0}],
    "the same twice": [{"tre": 4.0}, {"tre": 4.0}],
    "from none": [{}, {"tre": 4.0}],
}


@pytest.mark.parametrize("versions", CHANGES.values(), ids=CHANGES.keys())
def test_a_figure_is_one_point_however_often_it_changed(
    place: Place, versions: list[dict[str, float]]
) -> None:
    for figures in versions:
        fold = FoldResult(description=description(), history=HISTORY, figures=figures)
        tracking.publish(place, result(fold, **figures))
    last = {name: [(0, shown_by_mlflow(value))] for name, value in versions[-1].items()}
    for run in runs(place):
        own = [name for name in run.data.metrics if not name.startswith(("train/", "val/"))]
        assert {name: history(place, run, name) for name in own} == last
    assert len(runs(place)) == 2


def shown_by_mlflow(value: float) -> float:
    """MLflow's databases hold the largest number for infinity,
    which its pages show as `Infinity`.
    """
    return value if math.isfinite(value) else math.copysign(sys.float_info.max, value)


def test_points_of_earlier_versions_are_replaced_by_one(place: Place) -> None:
    tracking.publish(place, result(**{"test/dice": 0.8}))
    (parent,) = (run for run in runs(place) if run.data.tags["role"] == "cv")
    server = client(place)
    server.log_metric(parent.info.run_id, "test/dice", 0.9, step=1)
    server.delete_tag(parent.info.run_id, "tenter.content")
    tracking.publish(place, result(**{"test/dice": 0.9}))
    (parent,) = (run for run in runs(place) if run.data.tags["role"] == "cv")
    assert history(place, parent, "test/dice") == [(0, 0.9)]


def test_a_fold_trained_anew_from_the_same_settings_has_the_new_curve(place: Place) -> None:
    for weights, loss in (("w", 0.7), ("x", 0.6)):
        fold = FoldResult(
            description=description(weights_sha256=weights), history=[{"step": 1.0, "loss": loss}]
        )
        tracking.publish(place, result(fold))
    (child,) = (run for run in runs(place) if run.data.tags["role"] == "fold")
    assert history(place, child, "train/loss") == [(1, 0.6)]


def test_infinite_figures_are_there_and_named(place: Place) -> None:
    fold = FoldResult(description=description(), figures={"b": math.inf, "c": 1.0})
    tracking.publish(place, result(fold))
    child = next(run for run in runs(place) if run.data.tags["role"] == "fold")
    assert child.data.metrics == {"b": sys.float_info.max, "c": 1.0}
    assert child.data.tags["infinite"] == "b"


def test_runs_last_as_long_as_the_trainings(place: Place) -> None:
    spans = [(1_000_000, 1_012_600), (1_010_000, 1_030_000)]
    folds = [FoldResult(description=description(str(k)), span=span) for k, span in enumerate(spans)]
    tracking.publish(place, result(*folds))
    found = {
        run.data.tags["tenter.key"]: (run.info.start_time, run.info.end_time) for run in runs(place)
    }
    assert found == {"local": (1_000_000, 1_030_000), "local/0": spans[0], "local/1": spans[1]}


def test_every_run_names_its_model_its_source_and_its_result(place: Place) -> None:
    described = description(provenance={"tenter": "1.2", "commit": "abc"})
    whole = replace(result(FoldResult(description=described)), summary="Dice rose.")
    options = {"local-posed": OptionResult(summary="Dice rose more.")}
    tracking.publish(place, replace(whole, options=options))
    tags = {run.data.tags["role"]: run.data.tags for run in runs(place)}
    assert {role: found["tenter.model"] for role, found in tags.items()} == dict.fromkeys(
        tags, "local"
    )
    assert {found["mlflow.source.name"] for found in tags.values()} == {"tenter 1.2"}
    assert tags["cv"]["mlflow.note.content"] == "Dice rose."
    assert tags["test-time"]["mlflow.note.content"] == "Dice rose more."
    assert tags["fold"]["mlflow.note.content"] == "Fold 0 of model local, trained on 2 pairs."


def test_files_become_artifacts_and_none_is_a_pickle(place: Place, tmp_path: Path) -> None:
    for name in ("model.safetensors", "model.json"):
        (tmp_path / name).write_text("{}")
    paths = [tmp_path / name for name in ("model.safetensors", "model.json")]
    tracking.publish(place, result(FoldResult(description=description(), artifacts=paths)))
    child = next(run for run in runs(place) if run.data.tags["role"] == "fold")
    found = [item.path for item in client(place).list_artifacts(child.info.run_id, "model")]
    assert found == ["model/model.json", "model/model.safetensors"]


def test_where_to_look_names_the_store_and_all_folds(place: Place) -> None:
    text = tracking.publish(
        place, result(*(FoldResult(description=description(str(fold))) for fold in range(2)))
    )
    assert f"mlflow ui --backend-store-uri {place.uri}" in text
    assert text.count("workflowType=machine_learning") == text.count("http://") == 2
    ids = [run.info.run_id for run in runs(place) if run.data.tags["role"] == "fold"]
    assert "/#/compare-runs?runs=" in text
    assert all(run_id in text for run_id in ids)


def test_parameters_are_flat_and_hold_no_list_of_pairs() -> None:
    found = parameters(description(plan={"shape": [3, 4, 5], "cohort": {}}))
    assert found["plan.shape"] == "[3, 4, 5]"
    assert (found["pairs_trained_on"], found["pairs_validated_on"]) == (2, 0)
    assert all(not isinstance(value, dict | list) for value in found.values())


@pytest.fixture(params=["refused", "black hole"])
def dead(request: pytest.FixtureRequest) -> Iterator[str]:
    """A port that refuses, or one that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "black hole":
            server.listen(32)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_dead_server_costs_a_training_less_than_ten_seconds(
    dead: str, caplog: pytest.LogCaptureFixture
) -> None:
    begin = time.monotonic()
    with (
        caplog.at_level(logging.WARNING),
        Mirror(Place(dead, "e", "1", "s"), "local", description()) as mirror,
    ):
        for step in range(50):
            mirror.record({"step": float(step), "loss": 1.0})
    assert time.monotonic() - begin < 10
    assert sum("gave up" in record.message for record in caplog.records) == 1


def test_a_study_starts_where_the_server_is_dead(
    dead: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert tracking.start(dead, "e", "s", 2.0).experiment_id is None
    assert "not reached" in caplog.text


def test_publishing_to_a_dead_server_is_an_error_that_names_it() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(TrackingError, match=f"{uri}: local cannot be published: not reached"):
            tracking.publish(Place(uri, "e", None, "s", 2.0), result())


def test_several_processes_mirror_into_one_database(place: Place) -> None:
    code = (
        "import json, sys; from tenter.tracking import Mirror, Place; "
        "told = json.loads(sys.argv[2]);\n"
        "with Mirror(Place(sys.argv[1], 'demo', '1', 'demo', 60.0), 'local', told) as mirror:\n"
        "    for step in range(40): mirror.record({'step': float(step), 'loss': 1 / (1 + step)})\n"
    )
    commands = [
        [sys.executable, "-c", code, place.uri, json.dumps(description(str(fold)))]
        for fold in range(3)
    ]
    for process in [subprocess.Popen(command) for command in commands]:
        assert process.wait(timeout=120) == 0
    assert [len(history(place, run, "train/loss")) for run in runs(place)] == [40] * 3
