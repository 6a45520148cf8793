"""Registration is bit-equal whatever becomes of the labels:
noise in their place, or none at all.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from builders.clones import Clone
from builders.row_files import row_file
from tenter import files
from tenter.formats import transforms


def register(study: Clone, manifest: Path, output: Path) -> None:
    """Register chunk 0-0 by the finished fold 0, as the workflow does."""
    provenance = files.read_json(study.results / "fields/tables/a/0-0.tsv.provenance.json")
    rows = (study.results / "fields/tables/a/0-0.tsv").read_text().splitlines()[1:]
    pairs = sorted({row.split("\t")[0] for row in rows})
    done = study.tool(
        sys.executable, "-m", "tenter.cli.main", "infer",
        "--rows", str(row_file(output.parent, manifest, pairs)),
        "--images", "results/trial/cases/tables/0-0.images.tsv", "--cases", "results/trial/cases",
        "--models", "results/trial/models/a/fold-0",
        "--settings", json.dumps(provenance["settings"]),
        "--code", provenance["code"], "--output", str(output), "--table", str(output / "table.tsv"),
        "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def noisy_manifest(study: Clone, folder: Path) -> Path:
    """The same pairs, with noise as their labels."""
    header, *rows = study.manifest.read_text().splitlines()
    columns = header.split("\t")
    changed = [header]
    for row in rows:
        cells = row.split("\t")
        for index, column in enumerate(columns):
            if not cells[index] or column in ("pair", "patient"):
                continue
            source = study.manifest.parent / cells[index]
            cells[index] = str(noise(source, folder) if "labels" in column else source)
        changed.append("\t".join(cells))
    path = folder / "manifest.tsv"
    path.write_text("\n".join(changed) + "\n")
    return path


def noise(source: Path, folder: Path) -> Path:
    image = nib.nifti1.Nifti1Image.from_filename(source)
    random = np.random.default_rng(0).integers(0, 2, image.shape, dtype=np.uint8)
    path = folder / source.name
    nib.save(nib.nifti1.Nifti1Image(random, image.affine), path)
    return path


def bare_manifest(study: Clone, folder: Path) -> Path:
    """The same pairs, without any column of labels or points."""
    header, *rows = study.manifest.read_text().splitlines()
    kept = [
        index
        for index, name in enumerate(header.split("\t"))
        if "labels" not in name and "points" not in name
    ]
    lines = [[line.split("\t")[index] for index in kept] for line in (header, *rows)]
    for cells in lines[1:]:
        cells[2:] = [str(study.manifest.parent / cell) for cell in cells[2:]]
    path = folder / "manifest.tsv"
    path.write_text("\n".join("\t".join(cells) for cells in lines) + "\n")
    return path


@pytest.mark.parametrize("other", [noisy_manifest, bare_manifest])
def test_registration_is_bit_equal(finished: Clone, tmp_path: Path, other: object) -> None:
    assert callable(other)
    register(finished, other(finished, tmp_path), tmp_path / "fields")
    made = sorted((tmp_path / "fields").rglob("transform.h5"))
    assert made
    for path in made:
        before = finished.results / "fields/a" / path.relative_to(tmp_path / "fields")
        one, two = transforms.read_transform(before), transforms.read_transform(path)
        assert one.field.numpy().tobytes() == two.field.numpy().tobytes()
        assert one.alignment.tobytes() == two.alignment.tobytes()
        for name in ("field.nii.gz", "warped_image.nii.gz"):
            assert files.sha256(before.with_name(name)) == files.sha256(path.with_name(name))


def test_no_label_file_is_reachable_from_inference(finished: Clone) -> None:
    listed = finished.run("--dry-run", "--forcerun", "infer", "--printshellcmds")
    commands = [line for line in listed.stdout.splitlines() if "tenter infer" in line]
    assert commands
    assert not [line for line in commands if "labels" in line]
    for line in commands:
        words = shlex.split(line)
        rows = finished.root / words[words.index("--rows") + 1]
        assert "label" not in rows.read_text()
        assert "moving" in rows.read_text()
