"""Copies of the package and workflow with a small study in them, for tests to run and edit."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml

from tenter.study import Study
from tenter.tools.staleness import Staleness

ROOT = Path(__file__).parents[2]

MESSAGES = {
    r"derive the common grid": "plan",
    r"prepare the images of chunk (\S+)": "prepare_images {0}",
    r"prepare the labels of chunk (\S+)": "prepare_labels {0}",
    r"train (\S+), fold (\S+)": "train {0} {1}",
    r"register chunk (\S+) with the baseline (\S+)": "baseline {1} {0}",
    r"register chunk (\S+) by (\S+)": "infer {1} {0}",
    r"measure chunk (\S+) of (\S+)": "evaluate {1} {0}",
    r"summarise ": "summarise",
    r"write the report": "report",
    r"mirror (\S+) to MLflow": "publish {0}",
}

NETWORK = {"name": "unet", "channels": 2, "depth": 2}
TRAINING = {"steps": 3, "batch": 2, "learning_rate": 1e-3}


@dataclass
class Clone:
    """A copy of the repository with a study in it."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config/trial.yaml"

    @property
    def manifest(self) -> Path:
        return self.root / "cohort/manifest.tsv"

    @property
    def results(self) -> Path:
        return self.root / "results/trial"

    def run(self, *words: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run snakemake as a user would."""
        command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "2"]
        chosen = (config or self.config).relative_to(self.root)
        return self.tool(*command, "--configfile", str(chosen), *words)

    def tool(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy, with its own package first on the path."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PYTHONPATH": str(self.root / "src"), "PATH": path}
        environment |= {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )

    def stale(self) -> set[str]:
        """The jobs that a run would start, by Snakemake and by tenter, which must agree."""
        announced, compared = self.announced(), self.compared()
        assert compared == announced, (compared - announced, announced - compared)
        return announced

    def announced(self) -> set[str]:
        """The jobs that Snakemake would start."""
        done = self.run("--dry-run")
        assert done.returncode == 0, done.stderr
        return jobs(done.stdout + done.stderr)

    def compared(self) -> set[str]:
        """The jobs that are stale by the provenance beside the outputs."""
        config = self.config.relative_to(self.root)
        if _same_code(self.root / "src"):
            with contextlib.chdir(self.root):
                return set(Staleness(Study.load(config)).jobs)
        code = (
            "import sys; from pathlib import Path; from tenter.study import Study; "
            "from tenter.tools.staleness import Staleness; "
            "print(*Staleness(Study.load(Path(sys.argv[1]))).jobs, sep='\\n')"
        )
        done = self.tool(sys.executable, "-c", code, str(config))
        assert done.returncode == 0, done.stderr
        return set(filter(None, done.stdout.splitlines()))

    @contextmanager
    def edited(self, path: Path) -> Iterator[Path]:
        """Put a file back afterwards, content and time."""
        content, stat = path.read_bytes(), path.stat()
        try:
            yield path
        finally:
            path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def settings(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.config.read_text())
        return content


def _same_code(source: Path) -> bool:
    """Whether a copy's package is the one that these tests have loaded."""
    found = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".css", ".j2"}]
    return all(
        path.read_bytes() == (source / path.relative_to(ROOT / "src")).read_bytes()
        for path in found
    )


def jobs(text: str) -> set[str]:
    """The jobs that Snakemake's output announces."""
    found = set()
    for told in re.findall(r"^Job \d+: (.*)$", text, re.MULTILINE):
        for pattern, name in MESSAGES.items():
            match = re.match(pattern, told)
            if match:
                found.add(name.format(*(group.rstrip(",") for group in match.groups())))
    return found


def clone(folder: Path) -> Clone:
    """Copy what a run needs."""
    for name in ("src", "workflow", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder / "Snakefile")
    return Clone(folder)


def write_config(made: Clone, **keys: object) -> None:
    """Two small models, three folds."""
    made.config.parent.mkdir(exist_ok=True)
    model = {"network": NETWORK, "training": TRAINING}
    content = {
        "study": "trial",
        "manifest": "../cohort/manifest.tsv",
        "labels": {"format": "stack", "names": [{"name": "gland", "key": 0, "role": "structure"}]},
        "plan": {"spacing_mm": 8.0, "alignment": "centre"},
        "folds": {"count": 3},
        "models": {
            "a": model | {"losses": {"labels": [{"name": "mean_squared"}]}},
            "b": model | {"losses": {"labels": [{"name": "dice"}]}},
        },
        "summary": {"bootstrap": 100},
    } | keys
    made.config.write_text(yaml.safe_dump(content, sort_keys=False))


def enlarge(path: Path, factor: int = 5) -> Path:
    """Store a volume uncompressed, each voxel as a block of voxels: several megabytes."""
    image = nib.nifti1.Nifti1Image.from_filename(path)
    array = np.asarray(image.dataobj, dtype=np.float32)
    for axis in range(3):
        array = np.repeat(array, factor, axis=axis)
    affine = image.affine @ np.diag([1 / factor, 1 / factor, 1 / factor, 1])
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, (factor - 1) / 2)
    target = path.with_name(f"{path.name.partition('.')[0]}-large.nii")
    nib.save(nib.Nifti1Image(array, affine), target)
    return target


def enlarge_first(made: Clone) -> None:
    """Give the first pair a moving image of more than 5 MB."""
    header, first, *rows = made.manifest.read_text().splitlines()
    cells = dict(zip(header.split("\t"), first.split("\t"), strict=True))
    for column in ("moving_image", "moving_labels"):
        large = enlarge(made.manifest.parent / cells[column])
        cells[column] = large.relative_to(made.manifest.parent).as_posix()
    made.manifest.write_text("\n".join([header, "\t".join(cells.values()), *rows]) + "\n")


def set_aside(made: Clone) -> None:
    """Leave out of the manifest one pair of a patient who stays, and one patient."""
    header, *rows = made.manifest.read_text().splitlines()
    patients = [row.split("\t")[1] for row in rows]
    again = next(row for row in reversed(rows) if patients.count(row.split("\t")[1]) > 1)
    alone = next(row for row in reversed(rows) if patients.count(row.split("\t")[1]) == 1)
    kept = [row for row in rows if row not in (again, alone)]
    made.manifest.write_text("\n".join([header, *kept]) + "\n")
    (made.root / "again.tsv").write_text(again + "\n")
    (made.root / "alone.tsv").write_text(alone + "\n")


def simulate(made: Clone, folder: str, *flags: str) -> None:
    """Simulate a small cohort."""
    command = [sys.executable, "-m", "tenter.cli.main", "simulate", folder, "--spacing-mm", "4"]
    done = made.tool(*command, *flags)
    assert done.returncode == 0, done.stderr
