"""The code of docs/how-to/your-own-code.md trains, and registers with what it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.row_files import row_file
from builders.short_study import ShortStudy
from tenter import finished
from tenter.config import BaselineSettings
from tenter.errors import InputError
from tenter.formats import transforms
from tenter.measurement import metric_tables
from tenter.stages.baseline import baseline
from tenter.stages.simulate import simulate

PAGE = Path(__file__).parents[2] / "docs/how-to/your-own-code.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
CODE = [text for kind, text in BLOCKS if kind == "python"]
FILES = ("my_losses.py", "my_networks.py", "my_metrics.py", "my_methods.py")
MODELS, EVALUATION, BASELINES = (yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml")
TRAINING = {"steps": 10, "batch": 2, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ShortStudy:
    """A trained study of the page's model, with its code beside the configuration."""
    root = tmp_path_factory.mktemp("own")
    simulate(root / "cohort", pairs=8, patients=8, seed=1, spacing_mm=8.0)
    folder = root / "results/short"
    folder.mkdir(parents=True)
    for name, text in zip(FILES, CODE, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    keys = {"evaluation": EVALUATION["evaluation"] | {"surface_metrics": False}} | BASELINES
    study = ShortStudy(root / "cohort/manifest.tsv", folder, **keys)
    model: dict[str, Any] = MODELS["models"]["own"]
    model |= {"training": TRAINING, "validation": {"fraction": 0}}
    study.learn("own", model)
    return study


def test_each_file_takes_about_30_lines() -> None:
    assert max(len(text.splitlines()) for text in CODE) <= 36


def test_the_training_logs_the_loss_by_its_name(study: ShortStudy) -> None:
    header = (study.results / "own/m/fold-0/history.csv").read_text().partition("\n")[0]
    assert "curvature_weighted" in header


def test_the_model_records_its_code_and_keeps_that_of_its_network(study: ShortStudy) -> None:
    folder = study.results / "own/m/fold-0"
    described = finished.describe(folder)
    assert described["network"]["name"] == "my_networks.py:Wide"
    assert described["custom_code"].keys() == {"my_networks.py:Wide", "my_losses.py:curvature"}
    assert [path.name for path in (folder / "custom_code").iterdir()] == ["my_networks.py"]
    assert str(study.results) not in (folder / "model.json").read_text()


def test_the_metric_is_measured_for_every_label(study: ShortStudy) -> None:
    tables = map(metric_tables.read, study.results.glob("own/*.metrics.tsv"))
    rows = [row for table in tables for row in table if row.before is not None]
    measured = {(row.pair, row.label) for row in rows if row.metric == "volume_error"}
    assert measured == {(row.pair, row.label) for row in rows if row.metric == "dice"}
    assert {row.unit for row in rows if row.metric == "volume_error"} == {"%"}


def test_the_method_shifts_every_voxel_alike(study: ShortStudy) -> None:
    settings = BaselineSettings.model_validate_json(study.study.settings("baseline", "centred"))
    table = next(study.results.glob("*.images.tsv"))
    pairs = study.study.cohort.chunks[table.name.removesuffix(".images.tsv")]
    output = study.results / "centred"
    baseline(
        rows=row_file(study.results, study.manifest, [pairs[0].id]),
        images=table,
        cases=study.results / "cases",
        settings=settings,
        code="c",
        output=output,
        table=output / "table.tsv",
    )
    field = transforms.read_transform(output / pairs[0].id / "transform.h5").field[0].flatten(1)
    assert field.std(dim=1).max() < 1e-6
    assert field.abs().max() > 1e-3


def register(study: ShortStudy, *flags: str) -> subprocess.CompletedProcess[str]:
    images = [study.study.cohort.pairs[0].moving, study.study.cohort.pairs[0].fixed]
    command = [sys.executable, "-m", "tenter.cli.main", "register", "--model"]
    command += [str(study.results / "own/m"), "--moving", str(images[0]), "--fixed", str(images[1])]
    command += ["--out", str(study.results / "registered"), "--overwrite", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


def test_registration_takes_the_code_from_a_folder_that_is_named(study: ShortStudy) -> None:
    result = register(study, "--plugins", str(study.results))
    assert result.returncode == 0, result.stderr


def test_code_in_a_models_folder_is_not_imported_by_itself(study: ShortStudy) -> None:
    copy = study.results / "own/m/fold-0/custom_code/my_networks.py"
    text = copy.read_text()
    copy.write_text(f"open({str(study.results / 'ran')!r}, 'w')\n{text}")
    with pytest.raises(InputError, match="needs the network `my_networks"):
        finished.load(study.results / "own/m", Path("elsewhere/study.yaml"))
    refused = register(study)
    assert refused.returncode == 2
    assert "--plugins" in refused.stderr
    changed = register(study, "--plugins", str(copy.parent))
    assert "was trained with other code" in changed.stderr
    assert not (study.results / "ran").exists()
    copy.write_text(text)
