"""Run `snakemake --lint` on a study of two pairs; fail on all it finds but what is set aside here.

Set aside: a conda environment or container for each rule. One environment holds every stage of
this package, so each rule would name the same thing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = "{study: s, manifest: m.tsv, folds: {count: 2}, models: {a: {}}}"
MANIFEST = "pair\tpatient\tmoving_image\tfixed_image\np\tP\tm\tf\nq\tQ\tn\tg\n"
SET_ASIDE = ("Specify a conda environment or container for each rule",)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "s.yaml")
        config.write_text(CONFIG)
        config.with_name("m.tsv").write_text(MANIFEST)
        command = [sys.executable, "-m", "snakemake", "--lint", "--configfile", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    place, found = "", []
    for line in told.splitlines():
        if line.startswith("Lints for"):
            place = line
        elif re.match(r" +\* ", line) and not line.strip(" *").startswith(SET_ASIDE):
            found.append(f"{place} {line.strip(' *')}")
    if not place and "Congratulations" not in told:
        found.append(told)
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
