"""tenter: from a manifest of image pairs to cross-validated registration in millimetres.

Run it with   snakemake --profile profiles/local --configfile config/<study>.yaml
Without --configfile it runs the simulated cohort of config/demo.yaml. Another Snakefile can import
it as a module: docs/how-to/cluster.md, "From a Snakefile of your own".
"""

from snakemake.utils import min_version

from tenter import chunks
from tenter.manifest import ID
from tenter.tools.session import Session, is_imported
from tenter.tools.staleness import Staleness

min_version("9.20")


include: "workflow/rules/paths.smk"


if not workflow.configfiles and not is_imported(workflow):

    configfile: "config/demo.yaml"


session = Session(workflow, config)
study, R = session.study, session.study.results
RUNTIME = study.config.runtime
REGISTRARS, CHUNKS, ROWS = list(study.registrars), session.chunks, study.row_files
PLAN = session.plan_input


wildcard_constraints:
    model=ID.pattern,
    fold=r"\d+|all",
    chunk=chunks.PATTERN,


include: "workflow/rules/cohort.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/inference.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/reporting.smk"
include: "workflow/rules/hooks.smk"


# All results of a study. Deleted files are made again, including those unknown to Snakemake.
rule all:
    default_target: True
    input:
        lambda wildcards: Staleness(study).target("all", workflow.dag),
    localrule: True
    message:
        "the study is complete"
