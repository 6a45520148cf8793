from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from builders import broken_disks
from tenter import files
from tenter.errors import DataError, OutputError
from tenter.records import Fault


def test_a_failing_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail() -> None:
        with files.written_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [item.name for item in tmp_path.iterdir()] == ["x.txt"]
    assert path.read_text() == "old"


def test_the_temporary_name_keeps_the_format(tmp_path: Path) -> None:
    with files.written_whole(tmp_path / "x.nii.gz") as temporary:
        temporary.write_bytes(b"1")
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == tmp_path


def test_a_quota_is_told_with_the_path(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path; from tenter import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "files.write_text(Path(sys.argv[1]), 'x' * 5000)\n"
    )
    target = tmp_path / "big.txt"
    done = subprocess.run(
        [sys.executable, "-c", script, target], capture_output=True, text=True, check=False
    )
    assert "OutputError" in done.stderr
    assert str(target) in done.stderr
    assert not list(tmp_path.iterdir())


def test_kill_while_writing_leaves_no_final_name(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from tenter import files\n"
        "with files.written_whole(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)\n"
    )
    target = tmp_path / "x.txt"
    done = subprocess.run([sys.executable, "-c", script, target], check=False)
    assert done.returncode == -9
    assert not target.exists()


def test_canonical_text_does_not_depend_on_order() -> None:
    assert files.canonical({"b": 1, "a": [1.5, None]}) == files.canonical(
        {"a": [1.5, None], "b": 1}
    )


def test_json_round_trip(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x.json", {"a": "ü", "p": Path("q")})
    assert files.read_json(tmp_path / "x.json") == {"a": "ü", "p": "q"}
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["a"] == "ü"


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        files.write_text(tmp_path / "x", "1")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is flushed from now on, in order."""
    names: list[str] = []
    flush = os.fsync

    def told(descriptor: int) -> None:
        flush(descriptor)
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", told)
    return names


def test_a_file_is_flushed_before_it_has_its_name_and_the_name_after(
    tmp_path: Path, flushed: list[str]
) -> None:
    files.write_text(tmp_path / "x", "1")
    assert [name.startswith(".tmp-") for name in flushed] == [True, False]
    assert flushed[1] == tmp_path.name


def test_many_files_are_flushed_at_the_end_and_their_folder_once(
    tmp_path: Path, flushed: list[str]
) -> None:
    with files.flushed_together():
        for name in "abc":
            files.write_text(tmp_path / name, name)
        assert (tmp_path / "c").read_text() == "c"
        assert not flushed
    assert sorted(flushed[:3]) == ["a", "b", "c"]
    assert flushed[3:] == [tmp_path.name]


def test_what_was_written_before_a_fault_is_flushed_too(tmp_path: Path, flushed: list[str]) -> None:
    def fail() -> None:
        with files.flushed_together():
            files.write_text(tmp_path / "a", "a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert flushed == ["a", tmp_path.name]
    files.write_text(tmp_path / "b", "b")
    assert len(flushed) == 4


def test_a_file_that_the_disk_does_not_take_loses_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, f"{descriptor}: no space")

    monkeypatch.setattr(os, "fsync", full)

    def write() -> None:
        with files.flushed_together():
            files.write_text(tmp_path / "a", "a")

    with pytest.raises(OutputError, match="a: cannot be written"):
        write()
    assert not list(tmp_path.iterdir())


DAMAGED = Fault("x", "is damaged", "copy it again")
READ_ONLY = OSError(errno.EROFS, "Read-only file system")


def refuse(*_: object, **__: object) -> None:
    raise READ_ONLY


@pytest.mark.parametrize("kind", ["EROFS", "EACCES", "EPERM", "EIO", "ESTALE", "ETIMEDOUT"])
def test_cleaning_up_does_not_hide_the_first_error(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be written, a temporary file cannot be removed either."""
    monkeypatch.setattr(Path, "unlink", refuse)
    with (
        pytest.raises(OutputError, match=r"x: cannot be written"),
        files.written_whole(tmp_path / "x"),
    ):
        raise OSError(getattr(errno, kind), "refused")


def test_a_library_that_hides_the_reason_is_told_by_the_file_system(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with (
            pytest.raises(OutputError, match=r"x: .*largest size"),
            files.written_whole(tmp_path / "x"),
        ):
            raise RuntimeError
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), ValueError("x"), DataError(DAMAGED), KeyError("x")]
)
def test_an_error_that_is_none_of_writing_stays_as_it_is(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught, files.written_whole(tmp_path / "x"):
        raise error
    assert caught.value is error


def test_an_error_of_reading_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"), files.written_whole(tmp_path / "x"):
        (tmp_path / "gone").read_text()


def test_a_fault_counts_more_than_what_the_disk_did_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        with files.flushed_together():
            files.write_text(tmp_path / "a", "a")
            monkeypatch.setattr(os, "fsync", refuse)
            raise DataError(DAMAGED)

    with pytest.raises(DataError, match="x: is damaged"):
        fail()


@pytest.mark.parametrize("kind", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_folders_is_enough(
    kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def picky(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(kind, os.strerror(kind))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", picky)
    files.write_text(tmp_path / "x", "1")
    assert (tmp_path / "x").read_text() == "1"


def test_a_disk_without_room_is_refused_before_a_library_writes(tmp_path: Path) -> None:
    with (
        broken_disks.mounted(tmp_path / "disk", "size=64k"),
        pytest.raises(OSError, match="No space left"),
    ):
        files.require_space(tmp_path / "disk/x", 100_000)


def test_room_that_was_reserved_is_given_back(tmp_path: Path) -> None:
    files.require_space(tmp_path / "x", 10_000)
    assert (tmp_path / "x").stat().st_size == 0
    assert (tmp_path / "x").stat().st_blocks == 0
