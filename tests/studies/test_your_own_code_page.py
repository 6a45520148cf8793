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

from builders.short_study import ShortStudy
from tenter import finished
from tenter.errors import InputError
from tenter.stages.simulate import simulate

PAGE = Path(__file__).parents[2] / "docs/how-to/your-own-code.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
CODE = [text for kind, text in BLOCKS if kind == "python"]
TRAINING = {"steps": 10, "batch": 2, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ShortStudy:
    """A trained study of the page's model, with its code beside the configuration."""
    root = tmp_path_factory.mktemp("own")
    simulate(root / "cohort", pairs=8, patients=8, seed=1, spacing_mm=8.0)
    study = ShortStudy(root / "cohort/manifest.tsv", root / "results/short")
    for name, text in zip(("my_losses.py", "my_networks.py"), CODE, strict=True):
        (study.results / name).write_text(text, encoding="utf-8")
    model: dict[str, Any] = yaml.safe_load(BLOCKS[0][1])["models"]["own"]
    model |= {"training": TRAINING, "validation": {"fraction": 0}}
    study.learn("own", model)
    return study


def test_a_network_and_a_loss_take_about_30_lines() -> None:
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
