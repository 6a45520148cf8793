"""The Snakefile's work around its rules: it reads the study, and opens and ends a run.

Snakemake's own objects are used here, in `terminal` and in `hooks` (a workflow that is imported
as a module), and nowhere else.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient
from snakemake.logging import logger

from tenter import (
    addresses,
    errors,
    files,
    hooks,
    job_environment,
    launching,
    memory,
    syntax,
    tracking,
)
from tenter.config import yaml_files
from tenter.config.settings import of_stages
from tenter.result_files import REPORT
from tenter.study import Study
from tenter.tools import terminal
from tenter.tools.staleness import Staleness

ONE_FILE = "give one configuration file (`configfile:` or --configfile): a study is one file"
TRAINING = ("device", "execution", "memory_format", "checkpoint_s", "log_every")
"""Keys of the section `runtime` that are flags of a training."""
NO_PREFIX = (
    "`prefix:` and `replace_prefix:` cannot be used with tenter's Snakefile, as its commands would "
    "not know them; leave them out and set `results` in the study's configuration"
)


def is_imported(workflow: Any) -> bool:  # noqa: ANN401 - Snakemake's
    """Whether another Snakefile imports the workflow as a module."""
    return not workflow.modifier.is_main_snakefile()


class Session:
    """One reading of the Snakefile, by the process that plans a run or by a job's own Snakemake.

    Args:
        workflow: Snakemake's workflow.
        config: the configuration, with overrides from the command line.

    Attributes:
        path: the configuration file.
        study: the study that it describes.
        chunks: names of the chunks whose pairs are registered.
        plan: file of the common grid.
        plan_is_current: whether that file was made by the current rules.
        tracking: record of the tracking server.
        overrides: flags that repeat the overrides from the command line.
        rebuilds: how often the runs of each model were missing in MLflow.

    Raises:
        WorkflowError: the study cannot be read; the message says why.
    """

    def __init__(
        self,
        workflow: Any,  # noqa: ANN401 - Snakemake's
        config: Mapping[str, Any],
    ) -> None:
        self._workflow = workflow
        self._config = config
        self._require_one_study()
        self.path = Path(os.path.relpath(workflow.configfiles[-1]))
        try:
            self._read()
        except Exception as error:
            faults = errors.faults(error)
            if faults is None:
                raise
            advice = f"`tenter check {shlex.quote(str(self.path))}` says more"
            raise WorkflowError("\n".join([*map(str, faults), advice])) from None
        self.tracking = self.study.results / "tracking/tracking.json"
        changes = yaml_files.changes(self.path, config)
        self.overrides = ["--content", changes] if changes else []
        self._place = tracking.place_of(self.study)
        models = list(self.study.models) if workflow.is_main_process else []
        self.rebuilds = tracking.rebuilds(self._place, models)
        self._terminal = terminal.Screen(self.study, terminal.command_line(sys.argv[1:]))
        self._take_over()

    def start(self) -> None:
        """Check the study, open MLflow and record the folds, before the first job (decision 5).

        Raises:
            WorkflowError: a check failed; no job is started.
        """
        self._relieve_scheduler()
        self._limit_submissions()
        study, cohort = self.study, self.study.results / "cohort"
        content = files.canonical(self._config)
        for command in opening_commands(study, content, cohort, self.tracking):
            if subprocess.run(command, check=False).returncode:  # noqa: S603 - tenter's own
                interrupted = "stopped before the first job; the same command continues"
                refused = f"nothing was started: {command[1]} says why, above"
                raise WorkflowError(interrupted if self._terminal.interruptions else refused)
        try:
            study.cohort.record_pairs(cohort / "pairs.tsv")
            study.row_files.write()
            if study.cohort.is_divided:
                study.cohort.record_folds(cohort / "folds.tsv")
            stale = Staleness(study).lines()
            job_environment.announce(os.environ, planned_code(study))
            syntax.keep()
        except Exception as error:
            faults = errors.faults(error)
            if faults is None:
                raise
            raise WorkflowError("\n".join(map(str, faults))) from None
        _show(*stale)

    def fail(self, log: str) -> None:
        """Close a run in which a job failed, or that was stopped.

        Args:
            log: Snakemake's own log file.
        """
        memory.save(self.study.results)
        _show(self._terminal.closing(log))

    def finish(self) -> None:
        """Close a finished run; one of single steps (--until) may have no report."""
        memory.save(self.study.results)
        page = self.study.results / REPORT
        if page.exists():
            _show(f"report: {page}")
        _show(*tracking.of_study(self._place, list(self.study.models)).splitlines())

    def plan_input(self, wildcards: Any) -> Any:  # noqa: ANN401, ARG002 - Snakemake's
        """The plan as an input; its age counts only if it is outdated or asked for.

        Once written, the plan stays. If it is renewed, so is everything downstream: when the rules
        of the plan changed, the results are of an earlier layout, or `--forcerun plan` is given.
        """
        settings = self._workflow.dag_settings  # absent while the Snakefile is read
        asked_for = settings is not None and "plan" in settings.forcerun
        return ancient(self.plan) if self.plan_is_current and not asked_for else self.plan

    def train_command(self, resources: Any) -> str:  # noqa: ANN401 - Snakemake's
        """The start of a training's command: how and where it runs, which makes nothing stale.

        Args:
            resources: of the job.
        """
        runtime = self.study.config.runtime
        parts = (
            launching.command(runtime),
            "tenter train",
            launching.runtime_flags(runtime, *TRAINING),
            launching.job_flags(
                runtime,
                self.study.tracking.uri,
                self.tracking,
                resources.get("runtime"),
                scheduled=self._workflow.remote_exec,
            ),
        )
        return " ".join(part for part in parts if part)

    def join(self, names: Mapping[str, Any]) -> None:
        """If the workflow is imported, run its hooks besides those of the importing Snakefile.

        Args:
            names: globals of the imported Snakefile.
        """
        if is_imported(self._workflow):
            hooks.join(self._workflow, names, str(self.path))

    def _require_one_study(self) -> None:
        if len(self._workflow.configfiles) != 1:
            raise WorkflowError(ONE_FILE)
        modifier = self._workflow.modifier.path_modifier
        if is_imported(self._workflow) and (modifier.prefix or modifier.modifies_prefixes):
            raise WorkflowError(NO_PREFIX)

    def _read(self) -> None:
        starts = self._workflow.is_main_process
        yaml_files.read(self.path)  # Snakemake's own reader accepts duplicate keys
        self.study = study = Study.load(self.path, dict(self._config))
        study.plan.rules  # noqa: B018 - raises for a damaged or contradicting model
        self.chunks = study.cohort.registered_chunks()
        self.plan = study.results / "cohort/plan.json"
        self.plan_is_current = study.plan.is_current(self.plan)
        lines = job_environment.equip(
            os.environ,
            accepted=study.accepted,
            caches=study.results / "cache/home",
            tracking=study.tracking.uri,
            starts=starts,
        )
        _show(*lines)
        if starts:
            memory.restore(study.results)

    def _take_over(self) -> None:
        """Reduce messages on the terminal; the Snakemake of a job writes all to its log."""
        if self._workflow.is_main_process and not is_imported(self._workflow):
            self._terminal.attach(logger)
            self._terminal.stop_on_interrupt(self._workflow)

    def _relieve_scheduler(self) -> None:
        """Lift Snakemake's default limit of job starts (100 per second); a user's own limit stays.

        With the limit, Snakemake checks ready jobs and their files once a second for each job that
        has ended.
        """
        limiter = getattr(self._workflow.scheduler, "job_rate_limiter", None)
        if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
            self._workflow.scheduler.job_rate_limiter = None

    def _limit_submissions(self) -> None:
        """Submit no more jobs than Slurm accepts: a job that it refuses counts as failed."""
        workflow = self._workflow
        slurm = getattr(workflow.executor_plugin, "name", "") == "slurm"
        most = launching.submission_limit() if slurm else None
        if most is None or most >= workflow.nodes:
            return
        _show(
            f"this cluster takes {most} jobs of yours at a time (MaxSubmitJobs): as many are "
            f"submitted, not {workflow.nodes}"
        )
        for pool in (workflow.scheduler.global_resources, workflow.scheduler.resources):
            pool["_nodes"] = most


def planned_code(study: Study) -> dict[str, str]:
    """Fingerprints of the code of stages that have one, by `<stage>` or `<stage>/<name>`."""
    names = [*of_stages(), *(f"train/{model}" for model in study.models)]
    names += [f"{entry.rule}/{name}" for name, entry in study.registrars.items()]
    return {name: study.code(*name.split("/")) for name in names}


def opening_commands(study: Study, content: str, cohort: Path, tracking: Path) -> list[list[str]]:
    """Commands that must succeed before the first job: the check, and the start of tracking.

    Command lines are public: a login in `tracking.uri` reads `***`, and `equip` passes it on.

    Args:
        study: the study.
        content: JSON of the configuration, with overrides from the command line.
        cohort: folder of check.json and plan.json.
        tracking: record of the tracking server.
    """
    check: dict[str, object] = {
        "content": files.canonical(addresses.masked_values(json.loads(content))),
        "plan": cohort / "plan.json",
        "cache": study.results / "cache/check.json",
        "output": cohort / "check.json",
    }
    commands = [["tenter", "check", str(study.path), *launching.flags(check), "--no-tracking"]]
    if study.models:
        start: dict[str, object] = {
            "uri": addresses.shown(study.tracking.uri),
            "experiment": study.tracking.experiment,
            "study": study.config.study,
            "manifest": study.cohort.manifest,
            "timeout-s": study.config.tracking.timeout_s,
            "output": tracking,
        }
        commands.append(["tenter", "start-tracking", *launching.flags(start)])
    return commands


def _show(*lines: str) -> None:
    for line in lines:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
