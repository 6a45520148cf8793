"""The stage `train`: prepared cases in, a finished model out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.training_cases import Prepared, prepare, settings
from tenter import finished
from tenter.config import TrainSettings
from tenter.errors import CheckpointError, DataError, DeviceError
from tenter.history import read_history
from tenter.stages.train import train
from tenter.tracking import Place
from tenter.tracking.store import client
from tenter.training import models

CHOSEN = settings(steps=4, validation={"fraction": 0.4, "every": 2})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"), pairs=4)


def trained(
    prepared: Prepared,
    folder: Path,
    chosen: TrainSettings = CHOSEN,
    **changed: Any,
) -> dict[str, Any]:
    flags = {"fold": "1", "code": "c0de", "device": "cpu", "log_every": 1} | changed
    folders = {"output": folder / "local/fold-1", "checkpoints": folder / "checkpoints"}
    train(**(prepared.flags | folders | flags), settings=chosen)
    return finished.describe(folders["output"])


def test_a_finished_model_can_be_loaded_and_registers(prepared: Prepared, tmp_path: Path) -> None:
    trained(prepared, tmp_path)
    loaded = models.load(tmp_path / "local/fold-1", torch.device("cpu"))
    field = loaded.network(torch.rand(1, 1, 9, 10, 8), torch.rand(1, 1, 9, 10, 8))
    assert field.shape == (1, 3, 9, 10, 8)
    assert field.abs().max() > 0


def test_the_description_tells_all_there_is_to_know(prepared: Prepared, tmp_path: Path) -> None:
    description = trained(prepared, tmp_path)
    assert sorted(description["trained_on"] + description["validated_on"]) == list(prepared.pairs)
    assert set(description["patients"]["trained_on"]).isdisjoint(
        description["patients"]["validated_on"]
    )
    assert description["plan"]["spacing_mm"] == [3.0, 3.0, 3.0]
    assert (description["fold"], description["steps"], description["channels"]) == (
        "1",
        4,
        {"moving": 1, "fixed": 1},
    )
    assert description["identity"].keys() == {
        "code",
        "fold",
        "settings",
        "cohort",
        "plan",
        "warm_start",
    }
    assert description["provenance"]["torch"] == torch.__version__
    assert str(tmp_path) not in json.dumps(description)


def test_the_history_is_written_whole(prepared: Prepared, tmp_path: Path) -> None:
    trained(prepared, tmp_path)
    rows = read_history(tmp_path / "local/fold-1/history.csv")
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    assert "val_dice" in rows[0]
    assert "val_tre_mm" in rows[-1]


def test_the_same_twice_gives_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    first = trained(prepared, tmp_path / "one")
    second = trained(prepared, tmp_path / "other")
    assert first["weights_sha256"] == second["weights_sha256"]


def test_another_seed_or_fold_gives_another_model(prepared: Prepared, tmp_path: Path) -> None:
    weights = [
        trained(prepared, tmp_path / "one"),
        trained(prepared, tmp_path / "seed", CHOSEN.model_copy(update={"seed": 2})),
        trained(prepared, tmp_path / "fold", fold="2"),
    ]
    assert len({description["weights_sha256"] for description in weights}) == 3


def test_fold_all_learns_from_everyone(prepared: Prepared, tmp_path: Path) -> None:
    description = trained(prepared, tmp_path, fold="all")
    assert description["trained_on"] == list(prepared.pairs)
    assert description["validated_on"] == []


def test_changed_code_starts_afresh_and_says_so(
    prepared: Prepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = trained(prepared, tmp_path)
    with caplog.at_level(logging.WARNING):
        second = trained(prepared, tmp_path, CHOSEN.model_copy(update={"seed": 9}), code="new")
    assert "code, settings changed since; training starts afresh" in caplog.text
    assert second["weights_sha256"] != first["weights_sha256"]


def test_checkpoints_of_another_fold_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    trained(prepared, tmp_path)
    with pytest.raises(CheckpointError, match="differing: fold"):
        trained(prepared, tmp_path, fold="2")


def test_a_warm_start_takes_the_weights_of_the_same_fold(
    prepared: Prepared, tmp_path: Path
) -> None:
    first = trained(prepared, tmp_path)
    still = settings(steps=1, learning_rate=1e-12, warm_start=tmp_path / "local")
    second = trained(prepared, tmp_path / "warm", still)
    one, other = (
        models.weights(folder / "local/fold-1") for folder in (tmp_path, tmp_path / "warm")
    )
    assert all(torch.allclose(value, other[name], atol=1e-9) for name, value in one.items())
    assert second["identity"]["warm_start"] == first["weights_sha256"]


def test_a_warm_start_that_does_not_fit_is_refused_by_name(
    prepared: Prepared, tmp_path: Path
) -> None:
    trained(prepared, tmp_path)
    network = {"name": "unet", "channels": 3, "depth": 1}
    with pytest.raises(CheckpointError, match="of another shape: "):
        trained(
            prepared, tmp_path / "warm", settings(network=network, warm_start=tmp_path / "local")
        )


def test_a_warm_start_without_a_model_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="name a finished model"):
        trained(prepared, tmp_path, settings(warm_start=tmp_path / "absent"))


def test_a_case_that_changed_is_named(prepared: Prepared, tmp_path: Path) -> None:
    damaged = tmp_path / "copy"
    copied = Prepared(damaged, prepared.pairs)
    for path in prepared.root.rglob("*"):
        if path.is_file():
            (damaged / path.relative_to(prepared.root)).parent.mkdir(parents=True, exist_ok=True)
            (damaged / path.relative_to(prepared.root)).write_bytes(path.read_bytes())
    (damaged / "cases/pair01/fixed.nii").write_bytes(b"short")
    with pytest.raises(DataError, match=r"pair01: .*fixed\.nii"):
        trained(copied, tmp_path)


@pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
def test_a_training_is_mirrored_under_the_models_name(
    prepared: Prepared, place: Place, tmp_path: Path
) -> None:
    trained(prepared, tmp_path, tracking=tmp_path / "tracking.json")
    (run,) = client(place).search_runs([str(place.experiment_id)])
    assert run.data.tags["tenter.key"] == "local/1"
    steps = [
        point.step for point in client(place).get_metric_history(run.info.run_id, "train/loss")
    ]
    assert steps == [1, 2, 3, 4]


def test_an_absent_gpu_is_refused_before_anything_is_read(
    prepared: Prepared, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError):
        trained(prepared, tmp_path, device="cuda", plan=tmp_path / "absent")
    assert not (tmp_path / "local").exists()


def test_images_alone_teach_a_cohort_without_labels(tmp_path: Path) -> None:
    unlabelled = prepare(tmp_path, pairs=3, labels="none")
    terms = {"labels": [{"name": "dice"}], "images": [{"name": "lncc"}, {"name": "mind"}]}
    description = trained(unlabelled, tmp_path, settings(steps=3, losses=terms))
    assert description["trained_on"] == list(unlabelled.pairs)
    row = read_history(tmp_path / "local/fold-1/history.csv")[-1]
    assert row["loss"] == pytest.approx(
        row["lncc_weighted"] + row["mind_weighted"] + row["bending_weighted"]
    )
    assert (row["dice"], row["empty_labels"]) == (0, 0)


def test_its_log_is_kept_over_all_its_processes(
    prepared: Prepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        trained(prepared, tmp_path)
    log = (tmp_path / "checkpoints/train.log").read_text()
    assert log.count("fold 1: step 4/4") == 1
    assert "training goes on from step 4" in log
