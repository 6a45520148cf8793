"""Record what two studies produce, and compare two records:
for changes that must not change results.

    # the demo, and four real pairs where they are
    python tests/golden/record.py run results/golden
    python tests/golden/record.py record results/golden before.json
    python tests/golden/record.py compare before.json after.json

A record holds the sha256 of every result. Tables are recorded column by column, so that a
comparison names the columns that differ. Times, fingerprints of code and versions are left out of
JSON files: they differ between runs or are meant to.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import yaml

ROOT = Path(__file__).parents[2]
MRUS = ROOT.parent / "shared/data/mrus"

TRANSIENT_FOLDERS = {"logs", "benchmarks", "checkpoints", "cache", "tracking"}
"""Folders that hold times, and MLflow's database."""

PAGES = {".html"}
"""Files with times and fingerprints in their text."""

TRANSIENT_KEYS = {
    "code", "commit", "device", "fingerprint", "identity", "modules", "mtime", "provenance",
    "python", "seconds", "tenter", "versions",
}  # fmt: skip
"""Keys of JSON files that differ between two runs of one version, or between versions by design."""

TRANSIENT_COLUMNS = {"bytes", "fingerprint", "seconds", "sha256"}
"""Columns of a chunk's table, which describe files recorded here by themselves; and times."""

FOUR_PAIRS: dict[str, Any] = {
    "study": "four-pairs",
    "labels": {"format": "stack", "names": [{"name": "gland", "key": 0, "role": "structure"}]},
    "plan": {"alignment": "centre", "spacing_mm": 4.0},
    "folds": {"count": 2},
    "models": {
        "keypoint": {
            "network": {"name": "keypoint"},
            "losses": {
                "labels": [
                    {"name": "dice", "scales_mm": [0, 6]},
                    {"name": "centroid", "weight": 0.02},
                ],
                "regularisers": [{"name": "bending", "units": "voxel", "weight": 0.5}],
            },
            "training": {"steps": 20, "batch": 2, "learning_rate": 1e-3},
            "validation": {"every": 10},
            "test_time": {"poses": {"poses": {"count": 2, "rotation_deg": 4.0}}},
        }
    },
    "export": {"warped_labels": True},
    "runtime": {"device": "cpu"},
}
"""A short study on pairs of four patients of the MR-ultrasound cohort."""


def run(folder: Path) -> None:
    """Run the demo's study and, where the cohort is present, the one on four pairs,
    below `folder`.
    """
    run_demo(folder)
    if MRUS.is_dir():
        (folder / "four-pairs.tsv").write_text(_four_pairs())
        _run_study(folder, "four-pairs", FOUR_PAIRS | {"manifest": "four-pairs.tsv"})


def run_demo(folder: Path) -> Path:
    """Simulate the demo's cohort and run its study, both below `folder`; its results."""
    demo = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    _call("tenter", "simulate", str(folder / "demo-cohort"))
    _run_study(folder, "demo", demo | {"manifest": "demo-cohort/manifest.tsv"})
    return folder / "demo"


def _run_study(folder: Path, name: str, content: dict[str, Any]) -> None:
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(content | {"results": str(folder)}, sort_keys=False))
    _call("snakemake", "--profile", "profiles/local", "--cores", "1", "--configfile", str(config))


def _four_pairs() -> str:
    header, *rows = (MRUS / "manifest.tsv").read_text().splitlines()
    patients: dict[str, list[str]] = {}
    for row in rows:
        pair, patient, *paths = row.split("\t")
        cells = [str(MRUS / path) for path in paths]
        patients.setdefault(patient, ["\t".join([pair, patient, *cells])])
    chosen = [row for group in list(patients.values())[:4] for row in group]
    return "\n".join([header, *chosen]) + "\n"


def _call(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def record(folder: Path) -> dict[str, dict[str, str]]:
    """Hashes of every result below a folder, by file and part: a column, or the whole content."""
    return {path.relative_to(folder).as_posix(): _parts(path) for path in results(folder)}


def results(folder: Path) -> Iterator[Path]:
    """The files below a folder that are results: no logs, times, checkpoints or databases."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_file() and not TRANSIENT_FOLDERS & set(inner.parts) and path.suffix != ".yaml":
            yield path


def _parts(path: Path) -> dict[str, str]:
    if path.suffix in PAGES:
        return {}
    if path.suffix == ".json":
        return {
            "content": _hash(json.dumps(_lasting(json.loads(path.read_text())), sort_keys=True))
        }
    if path.suffix in {".tsv", ".csv"}:
        return _columns(path)
    if path.suffix == ".h5":
        return {"numbers": _transform(path)}
    return {"content": hashlib.sha256(path.read_bytes()).hexdigest()}


def _transform(path: Path) -> str:
    """Hash of a transform's numbers: the bytes of its HDF5 file differ between two writings."""
    transform = sitk.CompositeTransform(sitk.ReadTransform(path))
    transform.FlattenTransform()
    numbers = hashlib.sha256()
    for index in range(transform.GetNumberOfTransforms()):
        part = transform.GetNthTransform(index)
        numbers.update(np.array([*part.GetParameters(), *part.GetFixedParameters()]).tobytes())
    return numbers.hexdigest()


def _columns(path: Path) -> dict[str, str]:
    with path.open(newline="") as stream:
        header, *rows = csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
    columns = zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True)
    return {
        name: _hash("\n".join(cells)) for name, cells in columns if name not in TRANSIENT_COLUMNS
    }


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _lasting(item)
            for key, item in value.items()
            if key not in TRANSIENT_KEYS and not key.endswith(".h5")
        }
    return [_lasting(item) for item in value] if isinstance(value, list) else value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def differences(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """One line for each file that came, went or changed, with the parts that did."""
    lines = [f"gone: {name}" for name in before.keys() - after.keys()]
    lines += [f"new: {name}" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        parts = before[name].keys() | after[name].keys()
        changed = sorted(part for part in parts if before[name].get(part) != after[name].get(part))
        if changed:
            lines.append(f"changed: {name}: {', '.join(changed)}")
    return sorted(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run").add_argument("folder", type=Path)
    for name, paths in (("record", ("folder", "output")), ("compare", ("before", "after"))):
        command = commands.add_parser(name)
        for argument in paths:
            command.add_argument(argument, type=Path)
    chosen = parser.parse_args()
    if chosen.command == "run":
        chosen.folder.mkdir(parents=True)
        run(chosen.folder)
    elif chosen.command == "record":
        chosen.output.write_text(json.dumps(record(chosen.folder), indent=1) + "\n")
    else:
        lines = differences(
            *(json.loads(path.read_text()) for path in (chosen.before, chosen.after))
        )
        sys.stdout.write("".join(f"{line}\n" for line in lines) or "no difference\n")
        return int(bool(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
