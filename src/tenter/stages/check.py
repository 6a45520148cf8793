"""Find every fault of manifest, files and configuration in one pass, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tenter import addresses, files
from tenter.intake.inspection import Reading, inspect
from tenter.intake.verdict import Verdict, as_json, ordered
from tenter.records import Fault
from tenter.study import Study
from tenter.tracking import examine, place_of


def check(
    config: Path,
    /,
    *,
    content: str = "",
    output: Path | None = None,
    plan: Path | None = None,
    cache: Path | None = None,
    quick: bool = False,
    threads: int | None = None,
    tracking: bool = True,
) -> Verdict:
    """Check a study's configuration, manifest and files.

    Args:
        config: Configuration file (YAML).
        content: JSON object of top-level keys that replace those of the configuration.
        output: JSON file for the result; not written if the study has errors.
        plan: Plan of the study, if it exists; differences of the cohort from it are reported.
        cache: File that remembers valid files, so that unchanged ones are not read again.
        quick: Read only the headers of images and labels.
        threads: Number of files read at a time; default: one per core, at most 4.
        tracking: Ask the tracking server whether runs can be mirrored to it.

    Returns:
        Warnings and a summary.

    Raises:
        InputError: the study has errors; all of them are listed.
    """
    reading = Reading(cache=cache, quick=quick, threads=threads)
    inspection = inspect(config, content, plan, reading)
    faults = [*inspection.warnings, *(_tracking_faults(inspection.study) if tracking else [])]
    verdict = Verdict(warnings=tuple(ordered(faults)), lines=inspection.lines)
    if output is not None:
        table, needs, findings = inspection.table, inspection.needs, inspection.findings
        files.write_json(output, as_json(table, verdict, needs, findings))
    return verdict


def _tracking_faults(study: Study) -> Iterator[Fault]:
    """Yield warnings about obstacles to mirroring runs; training works without the mirror."""
    if not study.models:
        return
    file, column = str(study.path), "tracking.uri"
    if addresses.has_login(study.tracking.uri):
        yield Fault(file, *addresses.EXPOSED, column=column, severity="WARNING")
    addresses.conceal(study.tracking.uri, os.environ)
    place = place_of(study)
    fault = examine(place)
    if fault is not None:
        message = f"{fault.file}: {fault.message}; runs are not mirrored until then"
        yield Fault(file, message, fault.fix, column=column, severity="WARNING")
