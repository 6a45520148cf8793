from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builders.broken_disks import NOBODY, mounted, needs_root, read_only
from tenter import job_environment, provenance
from tenter.errors import CodeChangedError, TenterError


def equip(
    home: Path, tmp_path: Path, *, starts: bool = True, **own: str
) -> tuple[dict[str, str], list[str]]:
    environment = {"HOME": str(home), "PATH": "/bin", **own}
    told = job_environment.equip(
        environment, accepted=tmp_path / "x.json", caches=tmp_path / "caches", starts=starts
    )
    return environment, told


def test_a_home_that_can_be_written_to_is_left_alone(tmp_path: Path) -> None:
    environment, told = equip(tmp_path, tmp_path)
    assert not told
    assert not job_environment.CACHES.keys() & environment.keys()


def test_caches_leave_a_read_only_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with mounted(home), read_only(home):
        environment, told = equip(home, tmp_path)
    assert told == [f"{home} cannot be written to: caches of packages go to {tmp_path}/caches"]
    assert environment["MPLCONFIGDIR"] == str(tmp_path / "caches/matplotlib")
    assert environment["XDG_CACHE_HOME"] == str(tmp_path / "caches")


def test_caches_leave_a_home_that_is_full(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with mounted(home, "size=4k"):
        (home / "filler").write_bytes(bytes(4096))
        assert equip(home, tmp_path)[1]


def test_caches_leave_the_home_of_another_user() -> None:
    needs_root()
    os.seteuid(NOBODY)
    try:
        told = equip(Path("/"), Path("/gone"))[1]
    finally:
        os.seteuid(0)
    assert told


@pytest.mark.parametrize("home", ["/nonexistent/user", "/dev/null", "/proc"])
def test_caches_leave_a_home_that_is_none(home: str, tmp_path: Path) -> None:
    assert equip(Path(home), tmp_path)[1] or os.access("/", os.W_OK)


def test_a_folder_that_the_user_names_stays(tmp_path: Path) -> None:
    environment, _ = equip(Path("/proc"), tmp_path, MPLCONFIGDIR="/mine", XDG_CACHE_HOME="/proc/x")
    assert environment["MPLCONFIGDIR"] == "/mine"
    assert environment["TRITON_CACHE_DIR"] == str(tmp_path / "caches/triton")


def test_a_cache_elsewhere_does_not_spare_a_read_only_home(tmp_path: Path) -> None:
    """Triton and matplotlib keep theirs beside it."""
    environment, told = equip(Path("/proc"), tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert told
    assert environment["XDG_CACHE_HOME"] == str(tmp_path)
    assert environment["TRITON_CACHE_DIR"] == str(tmp_path / "caches/triton")


def test_a_job_says_nothing_of_it(tmp_path: Path) -> None:
    assert not equip(Path("/proc"), tmp_path, starts=False)[1]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"now": 1}]', "\0", "[{]"])
def test_a_damaged_file_of_accepted_changes_stops_the_start(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(TenterError, match=r"x\.json"):
        equip(tmp_path, tmp_path)


def test_a_job_keeps_the_code_that_it_is_planned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    job_environment.announce(environment, {"train/a": "0123456789abcdef"})
    monkeypatch.setenv(provenance.PLANNED, environment[provenance.PLANNED])
    assert provenance.planned_code("train/a") == "0123456789abcdef"
    assert provenance.planned_code("train/b") is None


def test_who_plans_anew_forgets_the_earlier_plan(tmp_path: Path) -> None:
    assert provenance.PLANNED not in equip(tmp_path, tmp_path, TENTER_PLANNED="{}")[0]
    assert provenance.PLANNED in equip(tmp_path, tmp_path, starts=False, TENTER_PLANNED="{}")[0]


def test_another_installation_on_the_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"tenter": "0.0.1", "host": "login1", "codes": {}}
    monkeypatch.setenv(provenance.PLANNED, json.dumps(said))
    with pytest.raises(
        CodeChangedError, match=r"planned by tenter 0\.0\.1 on login1, but .* has tenter"
    ):
        provenance.verify("train", "{}", "0000000000000000")


@pytest.mark.parametrize("text", ["", "x", "[]", '{"codes": 1}', "3"])
def test_a_plan_that_cannot_be_read_counts_as_none(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(provenance.PLANNED, text)
    assert provenance.planned_code("train") is None
