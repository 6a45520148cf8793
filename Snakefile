"""tenter: from a manifest of image pairs to cross-validated registration in millimetres.

Run it by   snakemake --profile profiles/local --configfile config/<study>.yaml
Without --configfile it runs the simulated cohort of config/demo.yaml. Another Snakefile can import it
as a module: docs/how-to/cluster.md, "From a Snakefile of your own".
"""

import os
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from tenter import hooks, launching, surroundings
from tenter.chunks import PATTERN as CHUNK
from tenter.config import yaml_files
from tenter.errors import message
from tenter.files import canonical
from tenter.manifest import ID
from tenter.study import Study

min_version("9.20")

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
    CHUNKS = study.registered_chunks()
    PLAN = study.results / "cohort/plan.json"
    plan_is_current = study.plan_is_current(PLAN)
    for line in surroundings.equip(
        os.environ,
        accepted=study.accepted,
        caches=study.results / "cache/home",
        starts=workflow.is_main_process,
    ):
        print(line, file=sys.stderr)
except Exception as error:
    if message(error) is None:
        raise
    raise WorkflowError(
        f"{message(error)}\n`tenter check {workflow.configfiles[-1]}` tells more"
    ) from None

R = study.results
MODELS = study.registering_models
TRACKING = R / "tracking/tracking.json"
# Made once; a plan made by other rules than today's is renewed, with all that follows.
PLAN = ancient(PLAN) if plan_is_current else PLAN


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


rule all:
    default_target: True
    input:
        R / "report.html",
        expand(R / "tracking/{model}.txt", model=list(study.models)),
    localrule: True


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
            raise WorkflowError(
                f"nothing was started: {command[1]} says why, above"
            )
    try:
        study.record_pairs(R / "cohort/pairs.tsv")
        if study.models:
            study.record_folds(R / "cohort/folds.tsv")
        stale = study.stale_trainings(R / "models")
        surroundings.announce(os.environ, study.codes())
    except Exception as error:
        if message(error) is None:
            raise
        raise WorkflowError(message(error)) from None
    for line in stale:
        print(line, file=sys.stderr)


# A run of some steps alone (--until) has neither a report nor a line of MLflow's to show.
onsuccess:
    if (R / "report.html").exists():
        print(f"report: {R / 'report.html'}", file=sys.stderr)
    for said in (R / f"tracking/{model}.txt" for model in study.models):
        if said.exists():
            print(said.read_text(), file=sys.stderr, end="")


if IMPORTED:
    hooks.join(workflow, globals(), str(path))
