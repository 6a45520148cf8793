"""Paths as they are written, whatever signs they hold.

Snakemake takes any `{word}` in the path of a file for a wildcard and any `<word>` for one of its path
variables, and knows no way to escape either (9.27: `snakemake.io.apply_wildcards`). People's folders may
be called so. Here only the workflow's own wildcards count; `tenter check` refuses paths that hold these.
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

# As Snakemake's own pattern, for these names alone. A constraint may hold braces, as in `{fold,\d{2}}`.
snakemake.io.WILDCARD_REGEX = re.compile(
    r"\{(?P<name>"
    + "|".join(WILDCARDS)
    + r")(\s*,\s*(?P<constraint>([^{}]+|\{\d+(,\d+)?\})*))?\}"
)
snakemake.pathvars.PATHVAR_REGEX = re.compile(r"(?!)(?P<name>)")
