from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
import yaml
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from tenter import files
from tenter.study import Study
from tenter.tools.terminal import Screen, command_line, errors, saved, shortened

LONG = (
    "Params have changed since last execution: "
    "Union of exclusive params before and now across all output: "
)
FILES = "Input files updated by another job: a, b, c, d, e"

REASONS = [
    (f"{LONG}before: '{'x' * 900}' now: '{'y' * 900}' ", "parameters have changed"),
    (FILES, "Input files updated by another job: a, b, c and 2 more"),
    (
        f"{FILES}; {LONG}before: 'a; b' now: 'c'",
        f"{FILES[:-6]} and 2 more; parameters have changed",
    ),
    ("Missing output files: a", "Missing output files: a"),
    ("Forced execution", "Forced execution"),
]


@pytest.mark.parametrize(("said", "expected"), REASONS)
def test_a_reason_keeps_what_is_short(said: str, expected: str) -> None:
    assert shortened(said) == expected


LOGS = [
    (
        "10:00:00 INFO begun\n10:00:01 ERROR p1: is damaged\nERROR p2: too\n",
        ["10:00:01 ERROR p1: is damaged", "ERROR p2: too"],
    ),
    ('Traceback\n  File "x", line 1\nValueError: no such thing\n', ["ValueError: no such thing"]),
    ("", []),
    ("killed\n\n", ["killed"]),
    ("INFO about an ERRORS table\nlast\n", ["last"]),
]


@pytest.mark.parametrize(("text", "expected"), LOGS)
def test_of_a_log_the_lines_that_tell_of_an_error_are_shown(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    (tmp_path / "x.log").write_text(text)
    assert errors(tmp_path / "x.log") == expected


class Terminal:
    """A terminal on which Snakemake's messages about a study appear."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        rows = [f"p{i}\tP{i}\tm{i}\tf{i}" for i in range(2)]
        (folder / "m.tsv").write_text(
            "\n".join(["pair\tpatient\tmoving_image\tfixed_image", *rows]) + "\n"
        )
        models = {"a": {"training": {"steps": 60}}}
        content = {"study": "s", "manifest": "m.tsv", "folds": {"count": 2}, "models": models}
        (folder / "s.yaml").write_text(yaml.safe_dump(content))
        self.study = Study.load(Path("s.yaml"))
        self.screen = Screen(self.study, "snakemake --cores 2")
        self.stream = io.StringIO()
        self.logger = logging.Logger("test")  # noqa: LOG001 - one of its own
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(DefaultFormatter())
        self.logger.addHandler(handler)
        self.screen.attach(self.logger)

    def says(self, text: str, event: LogEvent | None = None, **values: object) -> str:
        """What appears of a message."""
        before = self.stream.tell()
        self.logger.error(text, extra=values | ({"event": event} if event else {}))
        return self.stream.getvalue()[before:].strip()

    def fails(self, fold: str, log: str) -> str:
        """What appears of a training that fails."""
        path = Path(f"results/s/logs/train/a/fold-{fold}.log")
        files.write_text(path, log)
        output = [f"results/s/models/a/fold-{fold}/model.safetensors"]
        values: dict[str, object] = {
            "rule_name": "train",
            "rule_msg": None,
            "jobid": int(fold),
            "input": [],
            "aux": {},
        }
        values |= {
            "output": output,
            "log": [str(path)],
            "conda_env": None,
            "shellcmd": "tenter " + "x" * 2000,
        }
        return self.says("Error in rule train", LogEvent.JOB_ERROR, indent=False, **values)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, monkeypatch)


def test_a_failed_job_is_told_by_its_log_and_not_by_its_command(terminal: Terminal) -> None:
    told = terminal.fails("0", "INFO x\nERROR fold 0: loss not finite\n").splitlines()
    assert told[1:] == [
        "Error in train a 0:",
        "    ERROR fold 0: loss not finite",
        "    log: results/s/logs/train/a/fold-0.log",
    ]


HIDDEN = [
    (
        "CalledProcessError in file x, line 3:\nCommand 'tenter' returned non-zero exit status 3.",
        LogEvent.ERROR,
    ),
    ("Exiting because a job execution failed. Look above for error messages", None),
    ("Some jobs were triggered by provenance information, see ...", None),
    ("Rules with provenance triggered jobs: train", None),
]


@pytest.mark.parametrize(("text", "event"), HIDDEN)
def test_what_helps_nobody_is_not_shown(
    terminal: Terminal, text: str, event: LogEvent | None
) -> None:
    assert terminal.says(text, event) == ""


def test_other_messages_stay_as_they_are(terminal: Terminal) -> None:
    assert terminal.says("Missing input files for rule x") == "Missing input files for rule x"


def test_a_refused_run_is_told_without_the_place_in_the_snakefile(terminal: Terminal) -> None:
    text = (
        'WorkflowError in file "/x/Snakefile", line 3:\nnothing was started\n'
        '  File "x", line 3, in __onstart'
    )
    assert terminal.says(text, LogEvent.ERROR) == "nothing was started"


def test_a_lock_is_told_with_the_command_that_removes_it(terminal: Terminal) -> None:
    told = terminal.says("LockException:\nError: Directory cannot be locked. Please make sure ...")
    assert "snakemake --cores 2 --unlock\n  snakemake --cores 2" in told


def test_the_end_of_a_failed_run_names_jobs_errors_and_what_to_do(terminal: Terminal) -> None:
    terminal.fails("0", "ERROR fold 0: loss not finite\n")
    terminal.fails("1", "ERROR fold 1: " + "x" * 900)
    told = terminal.screen.closing(["all.log"]).splitlines()
    assert told[0] == "2 jobs failed:"
    assert (
        told[1] == "  train a 0: ERROR fold 0: loss not finite (results/s/logs/train/a/fold-0.log)"
    )
    assert max(map(len, told)) < 230
    assert told[-1] == "correct this and run the same command again: finished jobs are kept"


def test_a_job_that_a_later_attempt_finished_did_not_fail(terminal: Terminal) -> None:
    terminal.fails("0", "ERROR killed\n")
    terminal.fails("1", "ERROR killed\n")
    terminal.says("Finished", LogEvent.JOB_FINISHED, job_id=0)
    assert terminal.screen.closing().startswith("1 job failed:\n  train a 1")


def checkpoint(terminal: Terminal, fold: str, step: int, code: str | None = None) -> None:
    study = terminal.study
    described = json.loads(study.settings("train", "a"))
    del described["warm_start"]
    identity = {
        "settings": files.digest(described),
        "code": code or study.code("train", "a"),
        "fold": fold,
    }
    path = Path(f"results/s/checkpoints/a/fold-{fold}/step-{step:09d}.json")
    files.write_json(path, {"step": step, "identity": identity})


STOPPED = [
    ({"0": 2, "1": 2}, "stopped; 2 trainings saved at step 2 of 60; the same command continues"),
    (
        {"0": 2, "1": 9},
        "stopped; 2 trainings saved at steps 2 to 9 of 60; the same command continues",
    ),
    (
        {"0": 2, "1": None},
        (
            "stopped; 1 training saved at step 2 of 60, 1 other job begins anew; "
            "the same command continues"
        ),
    ),
    ({"0": None}, "stopped; 1 job begins anew; the same command continues"),
    ({}, "stopped; no job was running; the same command continues"),
]


@pytest.mark.parametrize(("jobs", "expected"), STOPPED)
def test_a_stopped_run_ends_in_one_sentence(
    terminal: Terminal, jobs: dict[str, int | None], expected: str
) -> None:
    terminal.screen.interruptions = 1
    for fold, step in jobs.items():
        assert terminal.fails(fold, "INFO x\n") == ""
        if step is not None:
            checkpoint(terminal, fold, step)
    assert terminal.screen.closing() == expected


def test_a_checkpoint_of_other_code_is_not_counted(terminal: Terminal) -> None:
    terminal.screen.interruptions = 1
    terminal.fails("0", "")
    checkpoint(terminal, "0", 7, code="0")
    assert "1 job begins anew" in terminal.screen.closing()


def test_nothing_is_shown_after_the_last_words(terminal: Terminal) -> None:
    terminal.screen.closing()
    assert terminal.says("WorkflowError:\nAt least one job did not complete successfully.") == ""


def test_many_trainings_are_told_together() -> None:
    assert saved([5, 3, 4], 10) == "3 trainings saved at steps 3 to 5 of 10"


def test_a_command_line_is_repeated_as_it_must_be_typed() -> None:
    assert (
        command_line(["--configfile", "my study.yaml"]) == "snakemake --configfile 'my study.yaml'"
    )
