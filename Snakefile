"""tenter: from a manifest of image pairs to cross-validated registration in millimetres.

Run it by   snakemake --profile profiles/local --configfile config/<study>.yaml
Without --configfile it runs the simulated cohort of config/demo.yaml.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from tenter import memory, tracking
from tenter.chunks import PATTERN as CHUNK
from tenter.config import yaml_files
from tenter.errors import TenterError
from tenter.files import canonical
from tenter.manifest import ID
from tenter.study import Study

min_version("9.20")


include: "workflow/rules/paths.smk"


if not workflow.configfiles:

    configfile: "config/demo.yaml"


if len(workflow.configfiles) > 1:
    raise WorkflowError("give one --configfile: a study is one file")


try:
    path = Path(os.path.relpath(workflow.configfiles[-1]))
    yaml_files.read(path)  # Snakemake's own reader lets a key come twice
    study = Study.load(path, config)
    study.plan_rules  # a finished model that is damaged, or that the configuration contradicts
    CHUNKS = study.registered_chunks()
except TenterError as error:
    raise WorkflowError(
        f"{error}\n`tenter check {shlex.quote(str(workflow.configfiles[-1]))}` tells more"
    ) from None

R = study.results
if workflow.is_main_process:
    memory.restore(R)  # of results that were moved here
MODELS = study.registering_models
TRACKING = R / "tracking/tracking.json"
# Made once; a plan made by other rules than today's is renewed, with all that follows.
PLAN = R / "cohort/plan.json"
PLAN = ancient(PLAN) if study.plan_is_current(PLAN) else PLAN
study.equip(os.environ)
CHANGES = yaml_files.changes(path, config)
OVERRIDES = ["--content", CHANGES] if CHANGES else []
# Runs that are gone from MLflow (a deleted database) are published again; a job's own Snakemake need not ask.
PLACE = tracking.place_of(study)
REBUILDS = tracking.rebuilds(PLACE, study.models if workflow.is_main_process else [])


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


localrules:
    all,
    plan,
    publish,


rule all:
    default_target: True
    input:
        R / "report.html",
        [R / f"tracking/{model}.txt" for model in study.models],


# Before the first job; a fault stops everything. See docs/decisions/0005.
onstart:
    # Snakemake's default limit of starts (100 a second) has it look through ready jobs and their files
    # once a second for each job that ended, the longer the study the more often. A user's limit stays.
    limiter = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    for command in study.opening_commands(
        canonical(config), R / "cohort", TRACKING
    ):
        if subprocess.run(command).returncode:
            raise WorkflowError(
                f"nothing was started: {command[1]} says why, above"
            )
    study.record_pairs(R / "cohort/pairs.tsv")
    if study.models:
        study.record_folds(R / "cohort/folds.tsv")
    for line in study.stale_trainings(R / "models"):
        print(line, file=sys.stderr)


onerror:
    memory.save(R)


# A run of some steps alone (--until) has neither a report nor a line of MLflow's to show.
onsuccess:
    memory.save(R)
    if (R / "report.html").exists():
        print(f"report: {R / 'report.html'}", file=sys.stderr)
    print(tracking.of_study(PLACE, list(study.models)), file=sys.stderr, end="")
