"""A changed loss weight: the cluster is sent the stale jobs, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from builders.clones import NETWORK, TRAINING
from builders.clusters import study

pytestmark = pytest.mark.soak


def test_a_changed_loss_weight_submits_exactly_the_stale_jobs(tmp_path: Path) -> None:
    model = {"network": NETWORK, "training": TRAINING}
    made = study(tmp_path / "study", models={name: dict(model) for name in "ab"})
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    content = made.settings()
    content["models"]["b"]["losses"] = {"regularisers": [{"name": "bending", "weight": 0.7}]}
    made.config.write_text(yaml.safe_dump(content, sort_keys=False))
    made.finish()
    trained = {f"train_wildcards_b_{fold}" for fold in "01"}
    tested = {f"{stage}_wildcards_b_{fold}-0" for stage in ("infer", "evaluate") for fold in "01"}
    assert sorted(job.rule for job in made.jobs()) == sorted(
        trained | tested | {"summarise", "report"}
    )
