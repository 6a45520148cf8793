"""Checkpoints: damaged ones are passed over, those of others refused, nothing is run from them."""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path

import pytest
import torch

from tenter.errors import CheckpointError, OutputError
from tenter.files import read_json, sha256, write_json
from tenter.training.checkpoints import Checkpoints

IDENTITY = {"settings": "s", "fold": "0", "cohort": "c"}


def written(folder: Path, steps: int = 3) -> Checkpoints:
    made = Checkpoints(folder, IDENTITY)
    for step in range(1, steps + 1):
        made.write(step, {"step": step, "weights": torch.full((50,), float(step))})
    return made


def step_of(checkpoints: Checkpoints) -> int | None:
    state = checkpoints.latest()
    return None if state is None else int(state["step"])


def test_the_latest_comes_back(tmp_path: Path) -> None:
    state = written(tmp_path).latest()
    assert state is not None
    assert torch.equal(state["weights"], torch.full((50,), 3.0))


def test_the_previous_one_is_kept_and_no_more(tmp_path: Path) -> None:
    written(tmp_path, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"step-00000000{step}.{kind}" for step in (4, 5) for kind in ("json", "pt")
    ]


def test_there_may_be_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "absent", IDENTITY).latest() is None


@pytest.mark.parametrize("how", ["cut", "flip", "gone", "no sidecar", "sidecar cut"])
def test_a_damaged_one_is_passed_over_and_said_so(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = written(tmp_path)
    path, sidecar = (tmp_path / f"step-000000003.{kind}" for kind in ("pt", "json"))
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    damaged = {"cut": content[:100], "flip": content}
    if how in damaged:
        path.write_bytes(damaged[how])
    elif how == "sidecar cut":
        sidecar.write_text(sidecar.read_text()[:20])
    else:
        (path if how == "gone" else sidecar).unlink()
    with caplog.at_level(logging.WARNING):
        assert step_of(checkpoints) == 2
    assert how == "no sidecar" or "step-000000003" in caplog.text


def test_where_all_are_damaged_training_starts_again(tmp_path: Path) -> None:
    checkpoints = written(tmp_path)
    for path in tmp_path.glob("*.pt"):
        path.write_bytes(b"")
    assert checkpoints.latest() is None


def test_another_trainings_is_refused_with_what_differs(tmp_path: Path) -> None:
    written(tmp_path)
    other = Checkpoints(tmp_path, IDENTITY | {"cohort": "d", "settings": "t"})
    with pytest.raises(CheckpointError, match="differing: cohort, settings"):
        other.latest()


def test_what_changed_legitimately_is_dropped_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path)
    other = Checkpoints(tmp_path, IDENTITY | {"cohort": "d"})
    with caplog.at_level(logging.WARNING):
        other.renew(fixed=("fold",))
    assert other.latest() is None
    assert "cohort changed since; training starts afresh" in caplog.text


def test_another_folds_is_never_dropped(tmp_path: Path) -> None:
    checkpoints = written(tmp_path)
    with pytest.raises(CheckpointError, match="differing: fold"):
        Checkpoints(tmp_path, IDENTITY | {"fold": "1"}).renew(fixed=("fold",))
    assert step_of(checkpoints) == 3


def test_the_same_is_kept_when_renewed(tmp_path: Path) -> None:
    checkpoints = written(tmp_path)
    checkpoints.renew(fixed=("fold",))
    assert step_of(checkpoints) == 3


class Malice:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_a_malicious_pickle_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    checkpoints = written(tmp_path)
    path = tmp_path / "step-000000003.pt"
    torch.save({"step": Malice()}, path)
    sidecar = path.with_suffix(".json")
    write_json(sidecar, read_json(sidecar) | {"sha256": sha256(path)})
    with caplog.at_level(logging.WARNING):
        assert step_of(checkpoints) == 2
    assert not (tmp_path / "pwned").exists()
    assert "refused" in caplog.text


def test_a_full_disk_is_said_and_leaves_earlier_ones_intact(tmp_path: Path) -> None:
    checkpoints = written(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"step-000000004\.pt.*too large"):
            checkpoints.write(4, {"step": 4, "weights": torch.zeros(50_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert step_of(checkpoints) == 3
    assert not list(tmp_path.glob(".tmp*"))


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    checkpoints = written(tmp_path)
    (tmp_path / "step-000000009.pt").write_bytes(b"half")
    checkpoints.write(4, {"step": 4})
    assert not (tmp_path / "step-000000009.pt").exists()
