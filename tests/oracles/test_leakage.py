"""O30: labels never reach inference. Its results are bit-equal whatever becomes of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builders.registered_pairs import AFFINES, SHAPES, RegisteredStudy, write_manifest, write_pair
from builders.tiny_cohorts import save
from tenter import files

RESULTS = ("transform.h5", "field.nii.gz", "warped_image.nii.gz")


def bits(study: RegisteredStudy) -> dict[str, str]:
    """Hashes of all that registration wrote; of a transform the arrays, as HDF5 keeps the time."""
    folder = study.root / "fields/p"
    found = {name: files.sha256(folder / name) for name in RESULTS[1:]}
    transform = study.transform()
    parts = (transform.alignment, transform.field.numpy(), transform.affine)
    return found | {"transform": files.digest([part.tobytes().hex() for part in parts])}


@pytest.fixture(scope="module")
def with_labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    study = RegisteredStudy(tmp_path_factory.mktemp("labelled"))
    write_pair(study.root)
    study.run()
    return bits(study)


def noise(root: Path) -> None:
    """Labels of random values."""
    for side, affine in AFFINES.items():
        values = np.random.default_rng(1).integers(0, 6, SHAPES[side], dtype=np.uint8)
        save(root / f"{side}-labels.nii", values, affine)


def damaged(root: Path) -> None:
    """Label and point files that nobody can read."""
    for side in AFFINES:
        (root / f"{side}-labels.nii").write_bytes(b"no label can be read")
        (root / f"{side}.points.tsv").write_bytes(b"\xff\xfe")


def absent(root: Path) -> None:
    """No label or point, neither on disk nor in the manifest."""
    with (root / "manifest.tsv").open(newline="") as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    for column in [name for name in row if "labels" in name or "points" in name]:
        (root / row[column]).unlink()
    write_manifest(root, {"p": {name: row[name] for name in row if name.endswith("_image")}})


@pytest.mark.parametrize("change", [noise, damaged, absent])
def test_o30_registration_is_bit_equal(
    with_labels: dict[str, str], tmp_path: Path, change: Callable[[Path], None]
) -> None:
    study = RegisteredStudy(tmp_path)
    write_pair(tmp_path)
    change(tmp_path)
    study.prepare_images()
    study.register()
    assert bits(study) == with_labels
    assert study.transform().field.abs().max() > 1


def test_o30_another_image_is_noticed(with_labels: dict[str, str], tmp_path: Path) -> None:
    study = RegisteredStudy(tmp_path)
    write_pair(tmp_path)
    values = np.random.default_rng(1).normal(size=SHAPES["fixed"]).astype(np.float32)
    save(tmp_path / "fixed-image.nii", values, AFFINES["fixed"])
    study.prepare_images()
    study.register()
    found = bits(study)
    assert all(found[name] != with_labels[name] for name in found)
