from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenter import files


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
    done = subprocess.run([sys.executable, "-c", script, target], capture_output=True, text=True, check=False)
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
    assert files.canonical({"b": 1, "a": [1.5, None]}) == files.canonical({"a": [1.5, None], "b": 1})


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
