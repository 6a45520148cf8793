"""What a pair costs each stage by the size of the cohort: seconds of a processor,
and memory at its peak.

    python tests/bench/many.py --pairs 1000

Some small simulated pairs stand under many names, so that files are as many as of a real cohort and
voxels few: what is left to grow is what grows with the number of pairs. One job does all of them;
the workflow gives a job 20 to 100. Prints JSON: of each stage its seconds, and the megabytes that
it held at most.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Figure, held, load

from tenter import config, files, manifest, tables
from tenter.cases import plans
from tenter.formats.transforms import write_transform
from tenter.manifest import rows
from tenter.measurement import metric_tables
from tenter.spatial.transform import Transform
from tenter.stages.evaluate import evaluate
from tenter.stages.plan import plan
from tenter.stages.prepare_images import prepare_images
from tenter.stages.prepare_labels import prepare_labels
from tenter.stages.simulate import simulate
from tenter.stages.summarise import summarise

OWN = 8
"""Pairs that are simulated."""

SPACING_MM = 8.0
LABELS = config.LabelFiles(
    format="stack",
    names=(
        config.NamedLabel(name="gland", key=0, role="structure"),
        config.NamedLabel(name="bladder", key=1, role="structure"),
    ),
)
MATRICES = ("alignment", "affine")
PLAN = config.PlanRules(alignment="centre")


class Many:
    """A cohort of few images under many names, and the stages that are measured, in their order."""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        self.pairs = tuple(f"pair-{index:06d}" for index in range(count))
        simulate(root / "cohort", pairs=OWN, patients=OWN, spacing_mm=SPACING_MM)
        self.table = root / "cohort/many.tsv"
        with (root / "cohort/manifest.tsv").open(encoding="utf-8", newline="") as stream:
            own = list(csv.DictReader(stream, delimiter="\t"))
        with self.table.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, own[0], delimiter="\t", lineterminator="\n")
            writer.writeheader()
            for index, pair in enumerate(self.pairs):
                names = {"pair": pair, "patient": f"patient-{index // 2:06d}"}
                writer.writerow({**own[index % OWN], **names})

    def stages(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Each stage, ready to be run."""
        root = self.root
        path = root / "rows.json"
        files.write_text(path, rows.text(manifest.read(self.table), self.table.parent))
        given: dict[str, Any] = {"rows": path, "code": "c"}
        yield "plan", lambda: plan(rows=path, settings=PLAN, output=root / "plan.json")
        images = config.ImageSettings(plan=PLAN)
        yield (
            "prepare_images",
            lambda: prepare_images(
                **given,
                settings=images,
                plan=root / "plan.json",
                cases=root / "cases",
                table=root / "images.tsv",
            ),
        )
        yield "prepare_labels", lambda: prepare_labels(
            **given, images=root / "images.tsv", cases=root / "cases",
            settings=config.LabelSettings(labels=LABELS), table=root / "labels.tsv",
        )  # fmt: skip
        self._write_transforms()
        measured = config.EvaluateSettings(
            labels=LABELS, evaluation=config.Evaluation(), warped_labels=False, mapped_points=False
        )
        yield "evaluate", lambda: evaluate(
            **given, fields=root / "fields.tsv", transforms=root / "fields", model="one", fold="0",
            settings=measured, output=root / "one.tsv",
        )  # fmt: skip
        self._rename_model()
        yield "summarise", lambda: summarise(
            metrics=(root / "one.tsv", root / "other.tsv"), code="c", output=root / "metrics.tsv",
            settings=config.SummariseSettings(summary=config.Summary(), models=("one", "other")),
            summary=root / "summary.tsv", comparison=root / "comparison.tsv",
            challenges=root / "challenges.tsv",
        )  # fmt: skip

    def _write_transforms(self) -> None:
        """The transforms that `evaluate` reads: one of each simulated pair, and links to it."""
        planned = plans.read_plan(self.root / "plan.json")
        fields, entries = self.root / "fields", []
        for index, pair in enumerate(self.pairs):
            path = fields / pair / "transform.h5"
            path.parent.mkdir(parents=True)
            if index < OWN:
                case = json.loads((self.root / "cases" / pair / "images.json").read_text())
                random = torch.Generator().manual_seed(index)
                field = 0.5 * torch.randn(1, 3, *planned.shape, generator=random)
                alignment, affine = (np.array(case[name], dtype=np.float64) for name in MATRICES)
                write_transform(path, Transform(alignment, field, affine))
            else:
                os.link(fields / self.pairs[index % OWN] / path.name, path)
            entries.append(tables.entry(pair, path, fields, "f"))
        tables.write(self.root / "fields.tsv", entries)

    def _rename_model(self) -> None:
        """The figures of another model, so that there is something to compare."""
        rows = metric_tables.read(self.root / "one.tsv")
        other = (replace(row, model="other", after=row.before, before=row.after) for row in rows)
        metric_tables.write(self.root / "other.tsv", other)


def measured(work: Callable[[], None]) -> dict[str, float]:
    """Seconds of a processor, and how many MB the process came to hold beyond what it held."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = held("VmRSS")
    start = time.process_time()
    work()
    return {"seconds": time.process_time() - start, "MB": held("VmHWM") - before}


def growth(counts: Sequence[int]) -> Iterator[Figure]:
    """Each stage: a processor's seconds a pair of the largest cohort,
    to those of the second largest.
    """
    found = {count: _of(count) for count in counts}
    *_, fewer, most = counts
    for stage in found[most]:
        each = [
            f"{count}: {found[count][stage]['seconds']:.3g} s, {found[count][stage]['MB']:.0f} MB"
            for count in counts
        ]
        ours, peer = (found[count][stage]["seconds"] / count for count in (most, fewer))
        what = f"{stage}, {most} pairs: CPU seconds a pair, to those of {fewer}"
        yield Figure(what, ours / peer, 1.1, ours, peer, "s", load(), "; ".join(each))


def _of(count: int) -> dict[str, dict[str, float]]:
    """In a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--pairs", str(count)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, dict[str, float]] = json.loads(told)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cohort = Many(Path(folder), chosen.pairs)
        found = {name: measured(work) for name, work in cohort.stages()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
