"""tenter: from a manifest of image pairs to cross-validated registration in millimetres.

Run it by   snakemake --profile profiles/local --configfile config/<study>.yaml
Without --configfile it runs the simulated cohort of config/demo.yaml. Another Snakefile can import it
as a module: docs/how-to/cluster.md, "From a Snakefile of your own".
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

from tenter import hooks, launching, memory, surroundings, tracking
from tenter.chunks import PATTERN as CHUNK
from tenter.config import yaml_files
from tenter.errors import message
from tenter.files import canonical
from tenter.manifest import ID
from tenter.study import Study
from tenter.tools import screen
from tenter.tools.staleness import Staleness
from tenter.tools import screen
from tenter.tools.staleness import Staleness

min_version("9.20")


include: "workflow/rules/paths.smk"


IMPORTED = not workflow.modifier.is_main_snakefile()

if not workflow.configfiles and not IMPORTED:

    configfile: "config/demo.yaml"


if len(workflow.configfiles) != 1:
    raise WorkflowError(
        "give one configuration file (`configfile:` or --configfile): a study is one file"
    )
if IMPORTED and (
    workflow.modifier.path_modifier.prefix
    or workflow.modifier.path_modifier.modifies_prefixes
):
    raise WorkflowError(
        "`prefix:` and `replace_prefix:` cannot be used with tenter's Snakefile, as its commands would not "
        "know them; leave them out and set `results` in the study's configuration"
    )


try:
    path = Path(os.path.relpath(workflow.configfiles[-1]))
    yaml_files.read(path)  # Snakemake's own reader lets a key come twice
    study = Study.load(path, config)
    study.plan_rules  # a finished model that is damaged, or that the configuration contradicts
    CHUNKS = study.registered_chunks()
    PLAN = study.results / "cohort/plan.json"
    plan_is_current = study.plan_is_current(PLAN)
    for line in surroundings.equip(
        os.environ,
        accepted=study.accepted,
        caches=study.results / "cache/home",
        tracking=study.tracking_uri,
        starts=workflow.is_main_process,
    ):
        print(line, file=sys.stderr)
except Exception as error:
    if message(error) is None:
        raise
    raise WorkflowError(
        f"{message(error)}\n`tenter check {shlex.quote(str(workflow.configfiles[-1]))}` tells more"
    ) from None

R = study.results
if workflow.is_main_process:
    memory.restore(R)  # of results that were moved here
MODELS = study.registering_models
TRACKING = R / "tracking/tracking.json"
# Made once; a plan made by other rules than today's is renewed, with all that follows.
PLAN = ancient(PLAN) if plan_is_current else PLAN
CHANGES = yaml_files.changes(path, config)
OVERRIDES = ["--content", CHANGES] if CHANGES else []
# Runs that are gone from MLflow (a deleted database) are published again; a job's own Snakemake need not ask.
PLACE = tracking.place_of(study)
REBUILDS = tracking.rebuilds(PLACE, study.models if workflow.is_main_process else [])
# Snakemakes inside jobs write into the jobs' logs, whole.
terminal = screen.Screen(study, screen.command_line(sys.argv[1:]))
if workflow.is_main_process and not IMPORTED:
    terminal.attach(logger)
    terminal.stop_on_interrupt(workflow)


wildcard_constraints:
    model=ID.pattern,
    fold=r"\d+|all",
    chunk=CHUNK,


report: "workflow/report/workflow.rst"


include: "workflow/rules/cohort.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/inference.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/reporting.smk"


# All that a study gives. What was deleted is made again, also files that Snakemake does not know.
rule all:
    default_target: True
    input:
        lambda wildcards: Staleness(study).target("all", workflow.dag),
    localrule: True
    message:
        "the study is whole"


# Prepared cases, which trainings and registrations read. A finished study does without them.
rule cases:
    input:
        lambda wildcards: Staleness(study).target("cases", workflow.dag),
    localrule: True
    message:
        "all cases are prepared"


# Before the first job; a fault stops everything. See docs/decisions/0005.
onstart:
    # Snakemake's default limit of starts (100 a second) has it look through ready jobs and their files
    # once a second for each job that ended, the longer the study the more often. A user's limit stays.
    limiter = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    # A job that Slurm refuses counts as failed: no more are submitted than it takes.
    slurm = getattr(workflow.executor_plugin, "name", "") == "slurm"
    most = launching.submission_limit() if slurm else None
    if most is not None and most < workflow.nodes:
        print(
            f"this cluster takes {most} jobs of yours at a time (MaxSubmitJobs): as many are submitted, "
            f"not {workflow.nodes}",
            file=sys.stderr,
        )
        for pool in (
            workflow.scheduler.global_resources,
            workflow.scheduler.resources,
        ):
            pool["_nodes"] = most
    for command in study.opening_commands(
        canonical(config), R / "cohort", TRACKING
    ):
        if subprocess.run(command).returncode:
            interrupted = "stopped before the first job; the same command continues"
            refused = f"nothing was started: {command[1]} says why, above"
            raise WorkflowError(interrupted if terminal.interruptions else refused)
    try:
        study.record_pairs(R / "cohort/pairs.tsv")
        if study.models:
            study.record_folds(R / "cohort/folds.tsv")
        stale = Staleness(study).lines()
        surroundings.announce(os.environ, study.codes())
    except Exception as error:
        if message(error) is None:
            raise
        raise WorkflowError(message(error)) from None
    for line in stale:
        print(line, file=sys.stderr)


onerror:
    memory.save(R)
    print(terminal.closing(log), file=sys.stderr)


# A run of some steps alone (--until) has neither a report nor a line of MLflow's to show.
onsuccess:
    memory.save(R)
    if (R / "report.html").exists():
        print(f"report: {R / 'report.html'}", file=sys.stderr)
    print(tracking.of_study(PLACE, list(study.models)), file=sys.stderr, end="")


if IMPORTED:
    hooks.join(workflow, globals(), str(path))
