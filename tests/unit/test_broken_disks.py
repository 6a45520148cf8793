"""Every stage on folders that cannot be written to: it says so in one line, and recovers."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import broken_disks as broken
from builders.stage_commands import MODEL, WORDS, SmallStudy, run
from tenter import files

SIZE = "size=16m"
DISKS: dict[str, tuple[broken.Disk, str | None]] = {
    "full": (broken.filled(0), SIZE),
    "nearly full": (broken.filled(2048), SIZE),
    "without names": (broken.nameless, f"{SIZE},nr_inodes=64"),
    "read-only": (broken.read_only, SIZE),
    "another user's": (broken.foreign, None),
    "of short files": (broken.short, None),
    "without descriptors": (broken.crowded, None),
    "a file": (broken.occupied, None),
    "a circle": (broken.circular, None),
    "a link to nothing": (broken.dangling, None),
}
"""Kinds of broken disks, each with the options of the file system that it needs."""

CAUSES = {
    "full": "the disk is full",
    "nearly full": "the disk is full",
    "without names": "no inode is left",
    "read-only": "read-only",
    "another user's": "permission denied",
    "of short files": "largest size allowed",
    "without descriptors": "too many open files",
    "a file": "is a file",
    "a circle": "circle",
    "a link to nothing": "leads to nothing",
}

STAGES = [stage for stage in WORDS if stage not in {"start-tracking", "publish"}]
QUICK = [(stage, kind) for stage in STAGES for kind in ("full", "read-only") if stage != "report"]
QUICK += [(stage, kind) for stage in ("prepare-labels", "infer") for kind in DISKS]
ALL = [(stage, kind) for stage in STAGES for kind in DISKS]


@pytest.fixture(scope="session")
def made() -> Iterator[SmallStudy]:
    """A finished study, in a folder that every user may look into."""
    folder = Path(tempfile.mkdtemp(prefix="tenter-disks-"))
    folder.chmod(0o755)
    found = SmallStudy(folder)
    found.make(leave_out=("start-tracking", "publish"))
    yield found
    shutil.rmtree(folder)


@pytest.fixture
def out(made: SmallStudy) -> Iterator[Path]:
    """A folder for a stage's outputs."""
    folder = made.folder / "out"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def prepare(made: SmallStudy, stage: str, out: Path) -> None:
    """What a stage finds below the folder that it writes to."""
    if stage == "prepare-labels":
        shutil.copytree(
            made.results / "cases", out / "cases", ignore=shutil.ignore_patterns("*labels*")
        )


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refuse_and_recover(made: SmallStudy, out: Path, stage: str, kind: str) -> None:
    disk, mount = DISKS[kind]
    with broken.mounted(out, mount) if mount else contextlib.nullcontext():
        prepare(made, stage, out)
        words = made.words(stage, out / "cohort" if stage == "simulate" else out)
        with disk(out):
            answer = run(words)
        if kind == "nearly full" and answer.code == 0:
            return  # its outputs are shorter than what was left
        assert answer.code in {2, 3}, answer.stderr
        assert len(answer.complaints) == 1, answer.stderr
        assert "Traceback" not in answer.stderr
        assert "Logging error" not in answer.stderr
        assert str(out) in answer.stderr or kind == "without descriptors"
        assert not any(".tmp-" in name for name in names(out))
        again = run(words)
        assert again.code == 0, again.stderr


@pytest.mark.parametrize(("stage", "kind"), dict.fromkeys(QUICK))
def test_a_broken_disk_is_told_in_one_line_and_the_same_command_recovers(
    made: SmallStudy, out: Path, stage: str, kind: str
) -> None:
    refuse_and_recover(made, out, stage, kind)


@pytest.mark.soak
@pytest.mark.parametrize(("stage", "kind"), [case for case in ALL if case not in QUICK])
def test_all_other_stages_and_disks(made: SmallStudy, out: Path, stage: str, kind: str) -> None:
    refuse_and_recover(made, out, stage, kind)


@pytest.mark.soak
@pytest.mark.parametrize("spare", [4096 * 2**power for power in range(11)])
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up_at_any_moment(
    made: SmallStudy, out: Path, stage: str, spare: int
) -> None:
    with broken.mounted(out, SIZE):
        prepare(made, stage, out)
        words = made.words(stage, out / "cohort" if stage == "simulate" else out)
        with broken.filled(spare)(out):
            answer = run(words)
        assert answer.code == 0 or len(answer.complaints) == 1, answer.stderr
        assert "Traceback" not in answer.stderr
        assert run(words).code == 0


@pytest.mark.parametrize("kind", CAUSES)
def test_the_cause_is_told(made: SmallStudy, out: Path, kind: str) -> None:
    disk, mount = DISKS[kind]
    with broken.mounted(out, mount) if mount else contextlib.nullcontext():
        words = made.words("warp", out)
        with disk(out):
            answer = run(words)
    assert CAUSES[kind] in answer.stderr


@pytest.mark.parametrize("name", ["a" * 300, "/".join(["a" * 200] * 30)])
def test_a_name_that_is_too_long_is_said(made: SmallStudy, out: Path, name: str) -> None:
    answer = run(made.words("plan", out / name))
    assert answer.code == 3
    assert "too long" in answer.complaints[0]


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("plan", "cohort/plan.json"),
        ("prepare-images", "cases/tables/0-0.images.tsv"),
        ("train", f"models/{MODEL}/fold-0/model.safetensors"),
        ("infer", f"fields/tables/{MODEL}/0-0.tsv"),
        ("evaluate", f"metrics/{MODEL}/0-0.tsv"),
        ("summarise", "summary.tsv"),
    ],
)
def test_a_folder_in_the_place_of_an_output_is_named(
    made: SmallStudy, out: Path, stage: str, file: str
) -> None:
    with broken.blocked(out, [file]):
        answer = run(made.words(stage, out))
        assert answer.code == 3
        assert (
            answer.complaints
            == [line for line in answer.complaints if str(out / file) in line]
            != []
        )
        assert "a folder is in the place of the file" in answer.stderr
    assert run(made.words(stage, out)).code == 0


def test_a_log_that_ends_on_a_full_disk_does_not_end_training(
    made: SmallStudy, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the log lies on the full disk."""
    folder = out / f"checkpoints/{MODEL}/fold-0"
    folder.mkdir(parents=True)
    (folder / "train.log").symlink_to("/dev/full")
    monkeypatch.chdir(out)
    answer = run(made.words("train", out))
    assert answer.code == 0
    assert "train.log: cannot be written: the disk is full" in answer.stderr
    assert answer.stderr.count("train.log") == 1
    assert "Traceback" not in answer.stderr


@pytest.fixture
def stale(made: SmallStudy, out: Path) -> SmallStudy:
    """A copy of the study with a stale training, a removed model's folder,
    and nothing else changed.
    """
    shutil.copytree(made.folder, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("out"))
    copy = SmallStudy(out)
    copy.configure()
    record = copy.results / f"models/{MODEL}/fold-0/provenance.json"
    files.write_json(record, files.read_json(record) | {"code": "0" * 16})
    (copy.results / "models/gone/fold-0").mkdir(parents=True)
    return copy


TOOLS = {
    "accept": ["accept", "train", "{}", "--reason", "none"],
    "prune": ["prune", "{}", "--yes"],
    "status": ["status", "{}"],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_is_refused_in_one_line_in_a_folder_of_another_user(
    stale: SmallStudy, tool: str
) -> None:
    words = [word.format(stale.config) for word in TOOLS[tool]]
    with broken.foreign(stale.folder):
        answer = run(words)
    assert "Traceback" not in answer.stderr
    if tool == "status":
        assert answer.code == 0, answer.stderr  # it writes nothing
    else:
        assert answer.code == 3
        assert len(answer.complaints) == 1
        assert "permission denied" in answer.complaints[0]
        assert run(words).code == 0


def tenter(*words: object, full: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command as a process; one of its streams (`stdout`, `stderr`) may lie on a full
    disk.
    """
    command = [sys.executable, "-m", "tenter.cli.main", *map(str, words)]
    with Path("/dev/full").open("w") as stream:
        streams = {
            name: stream if name == full else subprocess.PIPE for name in ("stdout", "stderr")
        }
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            command, text=True, check=False, **streams
        )


def test_an_answer_that_cannot_be_printed_is_an_error(made: SmallStudy) -> None:
    done = tenter("status", made.config, full="stdout")
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR standard output: cannot be written: the disk is full")
    assert done.stderr.count("\n") == 1


def test_a_complaint_that_the_log_does_not_take_goes_to_standard_output(made: SmallStudy) -> None:
    gone = made.folder / "gone.yaml"
    done = tenter("status", gone, full="stderr")
    assert done.returncode == 2
    assert str(gone) in done.stdout
    assert done.stdout.startswith("ERROR ")


def test_a_process_ends_by_itself_where_a_transform_did_not_fit(
    made: SmallStudy, out: Path
) -> None:
    """After a failed write HDF5 ends its process by a segmentation fault."""
    with broken.mounted(out, SIZE), broken.filled(0)(out):
        done = tenter(*made.words("infer", out))
    assert done.returncode == 3
    assert "HDF5-DIAG" not in done.stderr


def test_the_umask_of_another_user_is_no_matter(made: SmallStudy, out: Path) -> None:
    """A folder that may be written to but not listed."""
    broken.needs_root()
    out.chmod(0o733)
    os.seteuid(broken.NOBODY)
    try:
        answer = run(made.words("plan", out))
    finally:
        os.seteuid(0)
    assert answer.code == 0, answer.stderr
