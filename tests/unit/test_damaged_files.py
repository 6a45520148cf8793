"""Every small file that tenter reads back, damaged in many ways:
refused in one line that names it.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tenter import files, finished, folds, provenance, tables, tracking, typed_tables
from tenter.cases import case_files, plans
from tenter.errors import TenterError
from tenter.formats import volumes
from tenter.history import read_history, write_history
from tenter.manifest import pairing, rows
from tenter.measurement import metric_tables
from tenter.records import FileEntry, MetricRow, Pair, Plan
from tenter.statistics.challenge_scores import Aggregate
from tenter.statistics.lines import ComparisonLine, SummaryLine

PLAN = Plan((4, 4, 4), (1.0, 1.0, 1.0), "zscore", "centre")
ROW = MetricRow(
    model="m", fold="0", set="cv", pair="p", patient="q", label="gland", role="structure",
    metric="dice", unit="1", before=0.5, after=0.75,
)  # fmt: skip
GRID = {"shape": [2, 2, 2], "affine": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}
PAIR = Pair(id="p", patients=("q",), moving=Path("m"), fixed=Path("f"))
CASE = {
    "pair": "p", "patients": ["q"], "set": "cv", "stratum": None, "affine": GRID["affine"],
    "alignment": GRID["affine"], "moving": GRID, "fixed": GRID, "plan": "0", "sources": {},
}  # fmt: skip
MODEL = {"format": 1, "fold": "0", "weights_sha256": "0"}
PLACE = {
    "uri": "sqlite:///x.db", "experiment": "e", "experiment_id": "1", "study": "s",
    "timeout_s": 10.0, "manifest": "0",
}  # fmt: skip


ACCEPTED = {"now": "a", "then": "b"}
RECORD = {"stage": "a", "code": "b", "settings": {}, "modules": {}}


def stored(value: object) -> Callable[[Path], None]:
    """Write a JSON value."""
    return lambda path: files.write_json(path, value)


def numbered(record: type) -> Callable[[Path], None]:
    """Write a table of records with a row of ones."""
    columns = typed_tables.columns(record)
    return lambda path: typed_tables.write_lines(path, columns, [[1 for _ in columns]])


def records(record: type) -> Callable[[Path], object]:
    """Read a table of records."""
    return lambda path: typed_tables.read(path, record)


def write_case(path: Path) -> None:
    """Write the sidecar of a prepared pair, and its images."""
    files.write_json(path, CASE)
    for side in case_files.SIDES:
        image = np.zeros((1, 2, 2, 2), dtype=np.float32)
        volumes.write_image(case_files.images_file(path.parent, side), image, np.eye(4))


Kind = tuple[str, Callable[[Path], object], Callable[[Path], object]]
"""Name of a file, what writes a sound one, and what reads it."""

KINDS: dict[str, Kind] = {
    "plan": ("plan.json", lambda path: plans.write_plan(path, PLAN), plans.read_plan),
    "folds": (
        "x.folds.tsv", lambda path: folds.write_lock(path, {"a": 0, "b": 1}), folds.read_lock,
    ),
    "pairs": ("x.pairs.tsv", lambda path: pairing.write_lock(path, ["a--b"]), pairing.read_lock),
    "table": (
        "t.tsv", lambda path: tables.write(path, [FileEntry("p", "p/x", 1, "0", "1")]), tables.read,
    ),
    "history": (
        "history.csv", lambda path: write_history(path, [{"step": 1.0, "loss": 0.5}]), read_history,
    ),
    "metrics": ("metrics.tsv", lambda path: metric_tables.write(path, [ROW]), metric_tables.read),
    "summary": ("summary.tsv", numbered(SummaryLine), records(SummaryLine)),
    "comparison": ("comparison.tsv", numbered(ComparisonLine), records(ComparisonLine)),
    "challenges": ("challenges.tsv", numbered(Aggregate), records(Aggregate)),
    "model": ("model.json", stored(MODEL), lambda path: finished.describe(path.parent)),
    "case": ("images.json", write_case, lambda path: case_files.read_images(path.parent)),
    "rows": ("0-0.json", lambda path: files.write_text(path, rows.text([PAIR], Path())), rows.read),
    "tracking": ("tracking.json", stored(PLACE), tracking.read_place),
    "accepted": ("x.accepted.json", stored([ACCEPTED]), provenance.accepted_changes),
    "provenance": ("provenance.json", stored(RECORD), provenance.read_record),
}  # fmt: skip


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def faulty_disk(path: Path) -> None:
    """Reading it gives EIO."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def deaf(path: Path) -> None:
    """Opening it gives ENXIO."""
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stream:
        stream.bind(str(path))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b" \n\n"),
    "zeros": lambda path: path.write_bytes(bytes(500)),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "random": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(200))),
    "latin": lambda path: path.write_bytes(b"\xe4\n" + path.read_bytes()),
    "page": lambda path: path.write_text("<html><body>404</body></html>\n"),
    "number": lambda path: path.write_text("3\n"),
    "list": lambda path: path.write_text("[1, 2]\n"),
    "text": lambda path: path.write_text('"x"\n'),
    "null": lambda path: path.write_text("null\n"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "headless": lambda path: path.write_text(
        "".join(path.read_text().splitlines(keepends=True)[1:]) or "{"
    ),
    "folder": folder,
    "circle": circle,
    "faulty disk": faulty_disk,
    "deaf": deaf,
}
MAY_BE_ABSENT = {"accepted", "folds", "pairs"}
TABLES = [kind for kind, (name, _, _) in KINDS.items() if name.endswith("sv")]
OBJECTS = [kind for kind, (name, _, _) in KINDS.items() if name.endswith("json")]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_by_name(
    kind: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    name, write, read = KINDS[kind]
    path = Path(name)
    write(path)
    DAMAGE[damage](path)
    if (
        kind in {"accepted", "folds", "pairs"}
        and damage in {"folder", "circle", "deaf"}
        and not path.is_file()
    ):
        return  # as if there were none
    with pytest.raises(TenterError) as caught:
        read(path)
    told = str(caught.value)
    assert name in told
    assert "\n" not in told
    assert "; " in told


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_file_is_read(kind: str, tmp_path: Path) -> None:
    name, write, read = KINDS[kind]
    write(tmp_path / name)
    assert read(tmp_path / name)


@pytest.mark.parametrize("kind", TABLES)
def test_a_column_that_is_gone_is_named(kind: str, tmp_path: Path) -> None:
    name, write, read = KINDS[kind]
    path = tmp_path / name
    write(path)
    gap = "," if name.endswith("csv") else "\t"
    first = path.read_text().partition("\n")[0].split(gap)[0]
    path.write_text(path.read_text().replace(first, "other", 1))
    with pytest.raises(TenterError, match=f"lacks the columns {first}"):
        read(path)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(
    "row", ["1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\t1\n" * 3, 'open "quote\n', '"', "\0\0\0\n"]
)
def test_a_row_of_another_length_is_named_by_its_line(kind: str, row: str, tmp_path: Path) -> None:
    name, write, read = KINDS[kind]
    path = tmp_path / name
    write(path)
    lines = len(path.read_text().splitlines())
    path.write_text(path.read_text() + row)
    with pytest.raises(TenterError, match=rf"{name}(:{lines + 1}|: is cut off)"):
        read(path)


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_lost_its_last_byte_is_cut_off(kind: str, tmp_path: Path) -> None:
    name, write, read = KINDS[kind]
    path = tmp_path / name
    write(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TenterError, match="is cut off"):
        read(path)


@pytest.mark.parametrize("value", ["absent", None, "x", [], {}, True, 1.5])
@pytest.mark.parametrize("kind", OBJECTS)
def test_a_value_of_another_type_never_ends_in_a_traceback(
    kind: str, value: object, tmp_path: Path
) -> None:
    name, write, read = KINDS[kind]
    write(tmp_path / name)
    sound = json.loads((tmp_path / name).read_text())
    first = sound[0] if isinstance(sound, list) else sound
    for number, key in enumerate(first):
        content = {other: kept for other, kept in first.items() if other != key}
        content |= {} if value == "absent" else {key: value}
        path = tmp_path / str(number) / name
        files.write_json(path, [content] if isinstance(sound, list) else content)
        with contextlib.suppress(TenterError):
            read(path)


@pytest.mark.parametrize(
    ("column", "cell"),
    [("set", "cw"), ("before", "many"), ("after", "0,5"), ("after", "--"), ("before", "1e")],
)
def test_a_cell_of_metrics_that_cannot_be_is_named(column: str, cell: str, tmp_path: Path) -> None:
    metric_tables.write(tmp_path / "m.tsv", [replace(ROW, set="cv")])
    header, row = (line.split("\t") for line in (tmp_path / "m.tsv").read_text().splitlines())
    row[header.index(column)] = cell
    (tmp_path / "m.tsv").write_text("\t".join(header) + "\n" + "\t".join(row) + "\n")
    with pytest.raises(TenterError, match=rf"m\.tsv:2:{column}: is '{cell}'"):
        metric_tables.read(tmp_path / "m.tsv")
