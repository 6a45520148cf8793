"""tenter: from a manifest of image pairs to cross-validated registration in millimetres.

Run it by   snakemake --profile profiles/local --configfile config/<study>.yaml
Without --configfile it runs the simulated cohort of config/demo.yaml.
"""

import os
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

from tenter.chunks import PATTERN as CHUNK
from tenter.config import yaml_files
from tenter.errors import TenterError
from tenter.files import canonical
from tenter.manifest import ID
from tenter.study import Study
from tenter.tools import screen
from tenter.tools.staleness import Staleness

min_version("9.20")

if not workflow.configfiles:

    configfile: "config/demo.yaml"


if len(workflow.configfiles) > 1:
    raise WorkflowError("give one --configfile: a study is one file")


try:
    path = Path(os.path.relpath(workflow.configfiles[-1]))
    yaml_files.read(path)  # Snakemake's own reader lets a key come twice
    study = Study.load(path, config)
    CHUNKS = study.registered_chunks()
except TenterError as error:
    raise WorkflowError(
        f"{error}\n`tenter check {workflow.configfiles[-1]}` tells more"
    ) from None

R = study.results
MODELS = study.registering_models
TRACKING = R / "tracking/tracking.json"
# Made once; a plan made by other rules than today's is renewed, with all that follows.
PLAN = R / "cohort/plan.json"
PLAN = ancient(PLAN) if study.plan_is_current(PLAN) else PLAN
study.equip(os.environ)
# Snakemakes inside jobs write into the jobs' logs, whole.
terminal = screen.Screen(study, screen.command_line(sys.argv[1:]))
if workflow.is_main_process:
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


localrules:
    all,
    cases,
    plan,
    publish,


# All that a study gives. What was deleted is made again, also files that Snakemake does not know.
rule all:
    default_target: True
    input:
        lambda wildcards: Staleness(study).target("all", workflow.dag),
    message:
        "the study is whole"


# Prepared cases, which trainings and registrations read. A finished study does without them.
rule cases:
    input:
        lambda wildcards: Staleness(study).target("cases", workflow.dag),
    message:
        "all cases are prepared"


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
            stopped = "stopped before the first job; the same command continues"
            refused = f"nothing was started: {command[1]} says why, above"
            raise WorkflowError(stopped if terminal.interruptions else refused)
    study.record_pairs(R / "cohort/pairs.tsv")
    if study.models:
        study.record_folds(R / "cohort/folds.tsv")
    for line in Staleness(study).lines():
        print(line, file=sys.stderr)


# A run of some steps alone (--until) has neither a report nor a line of MLflow's to show.
onsuccess:
    if (R / "report.html").exists():
        print(f"report: {R / 'report.html'}", file=sys.stderr)
    for said in (R / f"tracking/{model}.txt" for model in study.models):
        if said.exists():
            print(said.read_text(), file=sys.stderr, end="")


onerror:
    print(terminal.closing(log), file=sys.stderr)
