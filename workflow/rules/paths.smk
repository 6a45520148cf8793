"""Take paths literally, whatever characters they contain.

Snakemake reads any `{word}` in a file's path as a wildcard and any `<word>` as a path variable, and
has no way to escape either (9.27: `snakemake.io.apply_wildcards`), but users' folders may have such
names. Here only the workflow's own wildcards count; `tenter check` refuses paths that contain them.
"""

import re

import snakemake.io
import snakemake.pathvars

from tenter.config.paths import WILDCARDS

for module, name in (
    (snakemake.io, "WILDCARD_REGEX"),
    (snakemake.pathvars, "PATHVAR_REGEX"),
):
    if not hasattr(module, name):
        raise WorkflowError(
            f"Snakemake has no {module.__name__}.{name} any more: use version 9.27"
        )

# Snakemake's own pattern, for these names only. A constraint may contain braces: `{fold,\d{2}}`.
snakemake.io.WILDCARD_REGEX = re.compile(
    r"\{(?P<name>"
    + "|".join(WILDCARDS)
    + r")(\s*,\s*(?P<constraint>([^{}]+|\{\d+(,\d+)?\})*))?\}"
)
snakemake.pathvars.PATHVAR_REGEX = re.compile(r"(?!)(?P<name>)")
