"""`tenter register` as a process, and the page that describes it, line by line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenter
from builders import new_patient
from tenter.cli.main import main

PAGE = Path(__file__).parents[2] / "docs/how-to/register-one-patient.md"
MODEL = "results/demo/models/composite"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the page has it: a model, two images, their labels and points."""
    root = tmp_path_factory.mktemp("page")
    for fold in "01":
        new_patient.write_model(root / MODEL, fold)
    new_patient.write_images(root)
    for side, name in (("moving", "mr"), ("fixed", "us")):
        image = new_patient.volume(side)
        values = np.zeros(image.array.shape[1:], dtype=np.int32)
        values[3:6, 3:6, 3:6] = 1
        tenter.write_labels(
            root / f"{name}_labels.nii.gz", tenter.LabelVolume(values, image.affine, (1,))
        )
        x, y, z = (image.affine @ [4, 4, 4, 1])[:3]
        (root / f"{name}_points.tsv").write_text(f"label\tx\ty\tz\napex\t{x}\t{y}\t{z}\n")
    return root


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tenter")), *words]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=one, capture_output=True, text=True, timeout=120, check=False
    )


def flags(**changed: str) -> list[str]:
    given = {"model": MODEL, "moving": "mr.nii.gz", "fixed": "us.nii.gz", "threads": "1", **changed}
    return ["register", *(word for name, value in given.items() for word in (f"--{name}", value))]


def commands() -> list[list[str]]:
    """The page's commands, words without the program's name."""
    lines = re.findall(r"^    tenter (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_the_pages_commands_run_as_they_stand(folder: Path) -> None:
    done = [run(folder, *words) for words in commands()]
    assert [(item.returncode, item.stderr) for item in done] == [(0, ""), (0, "")]
    first, second = (item.stdout for item in done)
    assert "mr.nii.gz registered to us.nii.gz" in first
    assert re.search(r"seconds: import [\d.]+, load model .*; in all", first)
    table = re.findall(r"^\| `([\w.]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    written = {path.name for path in (folder / "patient-7").iterdir()}
    assert set(table[:5]) | {"inverse.h5", "inverse_field.nii.gz", "field_fsl.nii.gz"} == written
    assert "inverse.h5" in second


def test_the_pages_python_runs_as_it_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    assert len(blocks) == 3
    assert (folder / "patient-8/register.json").is_file()
    assert set(names["overlap"]) == {1}
    assert set(names["after"]) == {"apex"}
    assert names["before"] != names["after"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"model": "nothing"},
            "ERROR nothing: is not a folder; name a folder that holds fold-*/model.json",
        ),
        ({"moving": "none.nii.gz"}, "ERROR none.nii.gz: does not exist"),
        (
            {"fixed": "mr.nii.gz"},
            "ERROR mr.nii.gz: has the same content as the moving image; give two images",
        ),
        ({"moving": "mr_points.tsv"}, "ERROR mr_points.tsv: "),
        ({"out": "us.nii.gz"}, "ERROR us.nii.gz: cannot be a folder"),
        (
            {"out": "."},
            "ERROR .: is not empty; name another folder, or overwrite it (`--overwrite`)",
        ),
        ({"alignment": "file"}, "ERROR alignment: `file` was asked for, but no transform is given"),
        ({"initial-transform": "no.tfm"}, "ERROR no.tfm: is missing"),
    ],
)
def test_bad_input_ends_in_one_line_and_code_2(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    told: str,
) -> None:
    monkeypatch.chdir(folder)
    code = main(flags(**{"out": "refused"} | changed))
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith(told)
    assert len(said.splitlines()) == 1
    assert "; " in said
    assert not (folder / "refused").exists()


def test_a_file_that_is_cut_ends_the_process_in_one_line_and_code_2(folder: Path) -> None:
    (folder / "cut.nii.gz").write_bytes((folder / "mr.nii.gz").read_bytes()[:-100])
    done = run(folder, *flags(moving="cut.nii.gz", out="refused"))
    assert done.returncode == 2
    assert re.fullmatch(r"ERROR cut\.nii\.gz: is truncated.*; .*\n", done.stderr)
    assert not (folder / "refused").exists()


def test_a_warning_is_seen_and_kept(folder: Path) -> None:
    done = run(folder, *flags(out="apart", alignment="header"))
    assert done.returncode == 0
    assert "WARNING mr.nii.gz: does not overlap the fixed image at all" in done.stderr
    assert "does not overlap" in (folder / "apart/register.json").read_text()


def test_the_overview_of_commands_and_the_help_tell_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--help"])
    assert "register one new patient" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["register", "--help"])
    text = capsys.readouterr().out
    assert all(
        flag in text for flag in ("--model", "--export", "--alignment", "--overwrite", "learn2reg")
    )
