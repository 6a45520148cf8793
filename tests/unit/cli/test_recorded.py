from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.row_files import row_file
from tenter import config, files, provenance
from tenter.cli.recorded import recorded
from tenter.errors import DataError

SETTINGS = config.SummariseSettings(summary=config.Summary(), models=("a",))


def summarise(
    *,
    metrics: tuple[Path, ...],
    settings: config.SummariseSettings,
    code: str = "",
    output: Path,
    summary: Path,
) -> int:
    """Stand in for the stage."""
    files.write_text(output, "all")
    files.write_text(summary, settings.models[0] + code)
    return len(metrics)


def table(folder: Path, name: str = "0-0.tsv") -> Path:
    """A table as `evaluate` leaves it, with its record."""
    path = folder / "metrics" / name
    files.write_text(path, "head\n1\n2\n3\n")
    provenance.record(path, "evaluate", "{}", "0")
    return path


def run(folder: Path, *metrics: Path) -> Any:
    places = {"output": folder / "metrics.tsv", "summary": folder / "summary.tsv"}
    return recorded("summarise", summarise)(metrics=metrics, settings=SETTINGS, **places)


def test_a_stage_runs_on_whole_inputs(tmp_path: Path) -> None:
    assert run(tmp_path, table(tmp_path), table(tmp_path, "1-0.tsv")) == 2


DAMAGES: dict[str, Callable[[str], str]] = {
    "lost its last line": lambda text: text[: text.rindex("3")],
    "lost a line in between": lambda text: text.replace("2\n", ""),
    "lost all lines but the head": lambda _: "head\n",
    "is empty": lambda _: "",
    "has a line twice": lambda text: text.replace("2\n", "2\n2\n"),
    "has another figure": lambda text: text.replace("2", "9"),
    "has lines in another order": lambda _: "head\n2\n1\n3\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_table_that_is_not_as_it_was_written_is_refused(
    tmp_path: Path, damage: Callable[[str], str]
) -> None:
    path = table(tmp_path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=r"0-0\.tsv: is not the file that `evaluate` wrote"):
        run(tmp_path, path)
    assert not (tmp_path / "summary.tsv").exists()


def test_every_damaged_input_is_named(tmp_path: Path) -> None:
    paths = [table(tmp_path), table(tmp_path, "1-0.tsv")]
    for path in paths:
        path.write_text("head\n")
    with pytest.raises(DataError, match=r"(?s)0-0\.tsv.*1-0\.tsv.*delete what is named here"):
        run(tmp_path, *paths)


def test_inputs_of_an_earlier_version_are_taken_as_they_are(tmp_path: Path) -> None:
    path = table(tmp_path)
    path.with_name("0-0.tsv.provenance.json").unlink()
    assert run(tmp_path, path) == 1


def test_the_record_says_what_was_read_and_written(tmp_path: Path) -> None:
    path = table(tmp_path)
    run(tmp_path, path)
    told = provenance.recorded(tmp_path / "metrics.tsv")
    assert told is not None
    assert told["inputs"] == {path.relative_to(tmp_path).as_posix(): files.sha256(path)}
    assert told["outputs"] == {"metrics.tsv": files.sha256(tmp_path / "metrics.tsv")}


def test_each_output_has_its_record(tmp_path: Path) -> None:
    run(tmp_path, table(tmp_path))
    assert provenance.damage(tmp_path / "summary.tsv") == []
    (tmp_path / "summary.tsv").unlink()
    (fault,) = provenance.damage(tmp_path / "summary.tsv")
    assert (fault.file, fault.message) == (str(tmp_path / "summary.tsv"), "is missing")


def evaluate(
    *,
    rows: Path,
    settings: config.SummariseSettings,
    output: Path,
    mapped_points: Path,
) -> None:
    """Stand in for the stage."""
    files.write_text(output, f"{rows}{settings}")
    files.write_text(mapped_points / "p.tsv", "x")


def test_of_pairs_the_rows_and_the_files_that_were_read_are_recorded(tmp_path: Path) -> None:
    for name in ("ml", "fl"):
        (tmp_path / name).write_text(name)
    header = "pair\tpatient\tmoving_image\tfixed_image\tmoving_labels\tfixed_labels"
    (tmp_path / "m.tsv").write_text(f"{header}\np\tP\tm\tf\tml\tfl\nq\tQ\tm\tf\tml\tfl\n")
    output = tmp_path / "t.tsv"
    places = {"output": output, "mapped_points": tmp_path / "points"}
    recorded("evaluate", evaluate)(
        rows=row_file(tmp_path, tmp_path / "m.tsv", ["p"]), settings=SETTINGS, **places
    )
    told = provenance.recorded(output)
    assert told is not None
    assert told["sources"] == {name: files.sha256(tmp_path / name) for name in ("ml", "fl")}
    assert told["pairs"]["p"]["moving_labels"] == "ml"
    assert set(told["pairs"]) == {"p"}
    assert list(told["carried"]) == ["points/p.tsv"]


def test_other_commands_are_left_alone() -> None:
    def simulate(folder: Path) -> Path:
        return folder

    assert recorded("simulate", simulate) is simulate
