"""Run `snakemake --lint` and fail on all it finds but what this project decided otherwise.

Two of its rules are set aside: one environment holds every stage of this package, so a
conda environment or container for each rule would name the same thing twelve times; and
paths are built from the study's folder of results, which the configuration names.
"""

from __future__ import annotations

import json
import subprocess
import sys

SET_ASIDE = ("Specify a conda environment or container for each rule", "Path composition with '+'")


def main() -> int:
    command = [sys.executable, "-m", "snakemake", "--lint", "json", "--configfile", sys.argv[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    start = done.stdout.find("{")
    if start < 0:
        sys.stderr.write(done.stderr)
        return 0 if "Congratulations" in done.stderr + done.stdout else 1
    found = 0
    for files in json.loads(done.stdout[start:]).values():
        for block in files if isinstance(files, list) else [files]:
            for lint in block.get("lints", []):
                if not lint["title"].startswith(SET_ASIDE):
                    sys.stderr.write(f"{block.get('rule', '')}: {lint['title']}\n")
                    found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
