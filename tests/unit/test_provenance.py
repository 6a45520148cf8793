from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tenter import files, provenance
from tenter.config import TrainSettings, parse
from tenter.errors import CodeChangedError
from tenter.metrics import definitions


def settings(loss: str = "dice", network: str = "local") -> str:
    model = {"losses": {"labels": [{"name": loss}]}, "network": {"name": network}}
    config = parse({"study": "s", "manifest": "m.tsv", "models": {"a": model}}, Path("c.yaml"))
    chosen = config.models["a"]
    train = TrainSettings(
        network=chosen.network,
        losses=chosen.losses,
        augmentation=chosen.augmentation,
        validation=chosen.validation,
        training=chosen.training,
        seed=0,
        warm_start=None,
    )
    return files.canonical(train.model_dump(mode="json"))


def test_a_training_counts_the_loss_it_uses_and_no_other() -> None:
    found = provenance.modules("train", settings("dice"))
    assert "tenter.losses.dice" in found
    assert "tenter.losses.jaccard" not in found


def test_losses_of_images_and_deformations_count_with_what_they_import() -> None:
    terms = '{"losses":{"images":[{"name":"lncc"}],"regularisers":[{"name":"folding"}]}}'
    found = provenance.modules("train", terms)
    assert {"tenter.losses.lncc", "tenter.losses.masked", "tenter.losses.folding"} <= found
    assert not {"tenter.losses.mind", "tenter.losses.bending", "tenter.losses.dice"} & found


def test_a_training_counts_the_network_it_uses_and_no_other() -> None:
    found = provenance.modules("train", settings(network="composite"))
    assert {"tenter.networks.composite", "tenter.networks.global", "tenter.networks.unet"} <= found
    assert "tenter.networks.local" not in found


def test_training_never_counts_reported_metrics() -> None:
    assert not [
        name
        for name in provenance.modules("train", settings())
        if name.startswith("tenter.metrics")
    ]


@pytest.mark.parametrize(
    "observer", ["tenter.tracking", "tenter.config", "tenter.errors", "tenter.manifest"]
)
def test_observers_count_nowhere(observer: str) -> None:
    found = provenance.modules("train", settings()) | provenance.modules("evaluate")
    assert not [name for name in found if name == observer or name.startswith(f"{observer}.")]


def test_evaluation_counts_metrics_that_are_imported_by_their_names() -> None:
    assert "tenter.metrics.strict.ndv" in provenance.modules("evaluate")
    assert "tenter.metrics.strict.ndv" not in provenance.modules("summarise")


def test_rewording_a_metric_counts_for_the_report_alone() -> None:
    stages = ("evaluate", "summarise", "report")
    before = [provenance.module_hashes(stage)["tenter.metrics.definitions"] for stage in stages]
    assert before[0] == before[1] != before[2]
    wording = provenance.WORDING["tenter.metrics.definitions"]
    assert wording < {field.name for field in dataclasses.fields(definitions.Metric)}
    assert not {"unit", "better", "of", "roles", "headline", "primary"} & wording


def test_inference_counts_no_loss() -> None:
    network = '{"network":{"name":"local"}}'
    assert not [
        name for name in provenance.modules("infer", network) if name.startswith("tenter.losses")
    ]


def test_inference_counts_the_parts_and_losses_of_its_option_and_no_others() -> None:
    network = '"network":{"name":"local"}'
    refine = '"refine":{"images":[{"name":"mind"}],"regularisers":[{"name":"folding"}]}'
    plain, posed, refined = (
        provenance.modules("infer", f'{{{network},"test_time":{{"ensemble":false,{option}}}}}')
        for option in (
            '"poses":null,"refine":null',
            '"poses":{"count":2},"refine":null',
            f'"poses":null,{refine}',
        )
    )
    assert plain == provenance.modules("infer", f"{{{network}}}")
    assert "tenter.registration.poses" in posed
    assert "tenter.registration.refine" not in posed
    assert not [name for name in posed if name.startswith("tenter.losses")]
    assert {"tenter.registration.refine", "tenter.losses.mind", "tenter.losses.folding"} <= refined
    assert (
        not {"tenter.registration.poses", "tenter.losses.bending", "tenter.losses.dice"} & refined
    )


def test_verify_refuses_other_code() -> None:
    with pytest.raises(CodeChangedError, match="run snakemake again"):
        provenance.verify("plan", "{}", "0" * 16)


def test_verify_takes_an_accepted_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = provenance.fingerprint("plan")
    files.write_json(tmp_path / "accepted.json", [{"now": now, "then": "feedfeedfeedfeed"}])
    monkeypatch.setenv(provenance.ACCEPTED, str(tmp_path / "accepted.json"))
    provenance.verify("plan", "{}", "feedfeedfeedfeed")
    assert provenance.accepted(now, tmp_path / "accepted.json") == "feedfeedfeedfeed"


def test_provenance_is_written_beside_a_file_and_inside_a_folder(tmp_path: Path) -> None:
    provenance.record(tmp_path, "plan", "{}", "c")
    (tmp_path / "x.tsv").touch()
    provenance.record(tmp_path / "x.tsv", "plan", '{"a":1}', "d")
    inside, beside = provenance.recorded(tmp_path), provenance.recorded(tmp_path / "x.tsv")
    assert inside is not None
    assert beside is not None
    assert (inside["code"], beside["code"], beside["settings"]) == ("c", "d", {"a": 1})
