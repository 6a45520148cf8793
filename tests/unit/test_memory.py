"""What Snakemake remembers of results, kept with them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tenter import memory

ONE: dict[str, Any] = {
    "rule": "evaluate",
    "input": ["results/s/fields/a.tsv", "data/results/s/b.nii"],
    "log": ["results/s/logs/a.log"],
    "shellcmd": "tenter evaluate results/s/fields/a.tsv",
    "params": [
        "'results/s/fields'",
        "['results/s/models/a', 'results/s2']",
        "'other results/s/x'",
        "'0'",
    ],
    "input_checksums": {"results/s/fields/a.tsv": "sha256:1"},
    "endtime": 10.0,
}


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / memory.RECORDS).mkdir(parents=True)
    return tmp_path / memory.RECORDS


def remember(records: Path, output: str, record: dict[str, Any]) -> None:
    """As Snakemake does."""
    (records / base64.urlsafe_b64encode(output.encode()).decode()).write_text(json.dumps(record))


def recall(records: Path, output: str) -> dict[str, Any]:
    path = records / base64.urlsafe_b64encode(output.encode()).decode()
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def output(name: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).touch()


@pytest.mark.parametrize("place", ["moved/s", "../elsewhere/s", 'it\'s {x} "y"/s', "/", "s"])
def test_a_record_follows_its_results(records: Path, tmp_path: Path, place: str) -> None:
    new = str(tmp_path / "absolute/s") if place == "/" else place
    output("results/s/metrics.tsv")
    remember(records, "results/s/metrics.tsv", ONE)
    memory.save(Path("results/s"))
    Path(new).parent.mkdir(parents=True, exist_ok=True)
    Path("results/s").rename(new)
    assert memory.restore(Path(new)) == 1
    record = recall(records, f"{new}/metrics.tsv")
    assert record["input"] == sorted([f"{new}/fields/a.tsv", "data/results/s/b.nii"])
    assert record["input_checksums"] == {f"{new}/fields/a.tsv": "sha256:1"}
    assert record["params"] == [
        repr(f"{new}/fields"),
        f"[{f'{new}/models/a'!r}, 'results/s2']",
        "'other results/s/x'",
        "'0'",
    ]


def test_what_is_known_and_as_new_is_left(records: Path) -> None:
    output("results/s/metrics.tsv")
    remember(records, "results/s/metrics.tsv", ONE)
    memory.save(Path("results/s"))
    remember(records, "results/s/metrics.tsv", ONE | {"endtime": 11.0, "params": []})
    assert memory.restore(Path("results/s")) == 0
    assert recall(records, "results/s/metrics.tsv")["params"] == []


def test_what_is_known_older_is_renewed(records: Path) -> None:
    output("results/s/metrics.tsv")
    remember(records, "results/s/metrics.tsv", ONE)
    memory.save(Path("results/s"))
    remember(records, "results/s/metrics.tsv", ONE | {"endtime": 9.0, "params": []})
    assert memory.restore(Path("results/s")) == 1
    assert recall(records, "results/s/metrics.tsv")["params"] == ONE["params"]


def test_an_output_that_is_gone_is_not_remembered(records: Path) -> None:
    for name in ("a", "b"):
        output(f"results/s/{name}")
        remember(records, f"results/s/{name}", ONE)
    remember(records, "results/other/c", ONE)
    memory.save(Path("results/s"))
    Path("results/s").rename("moved")
    Path("moved/b").unlink()
    assert memory.restore(Path("moved")) == 1
    assert len(list(records.iterdir())) == 4


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "{}", '{"format": 1, "records": [1]}', '{"format": 9}']
)
@pytest.mark.usefixtures("records")
def test_a_copy_that_cannot_be_used_is_none(text: str) -> None:
    output("s/cache/workflow.json")
    Path("s/cache/workflow.json").write_text(text)
    assert memory.restore(Path("s")) == 0


@pytest.mark.usefixtures("records")
def test_nothing_is_written_where_nothing_is_remembered() -> None:
    memory.save(Path("results/s"))
    assert not Path("results").exists()
