from __future__ import annotations

import importlib.util
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from tenter.cli.commands import COMMANDS
from tenter.cli.main import main


def test_without_words_it_tells_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", told, re.MULTILINE) for name in COMMANDS)


def test_a_misspelt_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert "did you mean 'train'?" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tenter ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_with_help_for_each_flag(name: str) -> None:
    assert importlib.util.find_spec(COMMANDS[name].module) is not None
    function = getattr(import_module(COMMANDS[name].module), name.replace("-", "_"))
    documented = inspect.getdoc(function) or ""
    missing = [
        flag for flag in inspect.signature(function).parameters if f"{flag}:" not in documented
    ]
    assert missing == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_texts_begin_alike_and_fit_a_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([name, "--help"])
    text = capsys.readouterr().out
    described = import_module(COMMANDS[name].module)
    documented = inspect.getdoc(getattr(described, name.replace("-", "_"))) or ""
    arguments = documented.partition("Args:")[2].partition("\n\n")[0]
    assert re.findall(r"^    (\w+): [a-z]", arguments, re.MULTILINE) == []
    assert [line for line in text.partition("usage:")[0].splitlines() if len(line) > 80] == []
    assert "\n\n\n" not in text


def test_a_fault_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("study: x\n")
    assert main(["status", str(tmp_path / "c.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ERROR {tmp_path}/c.yaml:manifest: is missing")
    assert "Traceback" not in error


def test_other_code_than_planned_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--metrics",
        "m.tsv",
        "--settings",
        '{"summary":{},"models":["a"]}',
        "--code",
        "0" * 16,
    ]
    outputs = [
        "--output",
        "o",
        "--summary",
        "s",
        "--comparison",
        str(tmp_path / "c"),
        "--challenges",
        "k",
    ]
    assert main(["summarise", *flags, *outputs]) == 3
    assert "changed since this job was planned" in capsys.readouterr().err
