"""Small sound files, and the ways to spoil them: each spoiler takes a file
and leaves a faulty one.
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (12, 10, 8)
DIM, DATATYPE, PIXDIM, SLOPE, QFORM_CODE, SFORM_CODE, SROW = 40, 70, 76, 112, 252, 254, 280

CONFIG = """\
study: small
manifest: manifest.tsv
folds:
  count: 2
models:
  base:
    network: {name: unet, channels: 2, depth: 1}
    training:
      steps: 10
      learning_rate: 1.0e-2
    validation:
      fraction: 0
"""


def affine(origin: Sequence[float] = (-5.0, -5.0, -5.0), spacing: float = 1.0) -> np.ndarray:
    """Axis-aligned, RAS."""
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = origin
    return matrix


def save(path: Path, array: np.ndarray, matrix: np.ndarray | None = None) -> Path:
    """Write a NIfTI file with equal sform and qform, both of code 1, in mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine() if matrix is None else matrix)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    nib.save(image, path)
    return path


def image(path: Path, seed: int = 0, matrix: np.ndarray | None = None) -> Path:
    """A sound image of noise."""
    noise = np.random.default_rng(seed).normal(100, 20, SHAPE)
    return save(path, noise.astype(np.float32), matrix)


def labels(path: Path, keys: Sequence[int] = (1, 2), matrix: np.ndarray | None = None) -> Path:
    """A sound map: a slab two voxels thick for each key."""
    array = np.zeros(SHAPE, np.uint8)
    for position, key in enumerate(keys):
        array[2 + 3 * position : 4 + 3 * position, 3:7, 2:6] = key
    return save(path, array, matrix)


def cohort(folder: Path, patients: Sequence[str] = ("p1", "p2", "p3")) -> Path:
    """A sound study: configuration, manifest, one labelled pair for each patient.
    Gives the configuration.
    """
    lines = ["pair\tpatient\tmoving_image\tfixed_image\tmoving_labels\tfixed_labels"]
    for number, patient in enumerate(patients):
        names = [f"{patient}_{name}.nii.gz" for name in ("mr", "us", "mr_labels", "us_labels")]
        image(folder / names[0], seed=2 * number)
        image(folder / names[1], seed=2 * number + 1)
        labels(folder / names[2])
        labels(folder / names[3])
        lines.append("\t".join([f"pair-{patient}", patient, *names]))
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = folder / "config.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    return config


def patch(path: Path, offset: int, layout: str, *values: float) -> None:
    """Overwrite a field of a (compressed) NIfTI header, with a sound checksum."""
    compressed = path.suffix == ".gz"
    raw = bytearray(gzip.decompress(path.read_bytes()) if compressed else path.read_bytes())
    struct.pack_into(layout, raw, offset, *values)
    path.write_bytes(gzip.compress(bytes(raw), mtime=0) if compressed else bytes(raw))


def cut_half(path: Path) -> None:
    """Truncate to a half."""
    os.truncate(path, path.stat().st_size // 2)


def cut_last_percent(path: Path) -> None:
    """Truncate to 99 %."""
    os.truncate(path, path.stat().st_size * 99 // 100)


def cut_trailer(path: Path) -> None:
    """Take gzip's checksum and length off."""
    os.truncate(path, path.stat().st_size - 8)


def wrong_checksum(path: Path) -> None:
    """Change gzip's checksum."""
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 0xFF
    path.write_bytes(bytes(raw))


def flip_bit(path: Path) -> None:
    """Flip one bit of a voxel, below an unchanged checksum (stored blocks: the stream stays
    readable).
    """
    raw = gzip.decompress(path.read_bytes())
    stored = bytearray(gzip.compress(raw, compresslevel=0, mtime=0))
    stored[len(stored) // 2] ^= 0x10
    path.write_bytes(bytes(stored))


def huge(path: Path) -> None:
    """Claim 32000 x 32000 x 32000 voxels."""
    patch(path, DIM, "<4h", 3, 32000, 32000, 32000)


def zero_size(path: Path) -> None:
    """Claim no voxels along one axis."""
    patch(path, DIM, "<4h", 3, 0, 10, 8)


def negative_size(path: Path) -> None:
    """Claim minus five voxels along one axis."""
    patch(path, DIM, "<4h", 3, -5, 10, 8)


def bomb(path: Path) -> None:
    """Let 8 GB of zeros follow the voxels, in 8 MB of gzip members."""
    member = gzip.compress(bytes(2**26), mtime=0)
    with path.open("ab") as stream:
        for _ in range(128):
            stream.write(member)


def not_a_number(path: Path) -> None:
    """Let one voxel of a float32 image be NaN."""
    patch(path, 352 + 4 * 37, "<f", float("nan"))


def constant(path: Path) -> None:
    """Let all voxels be equal."""
    save(path, np.full(SHAPE, 7, np.float32))


def forms_disagree(path: Path) -> None:
    """Let sform say another place than qform."""
    patch(path, SROW + 12, "<f", 40.0)


def no_codes(path: Path) -> None:
    """Let neither sform nor qform hold."""
    patch(path, QFORM_CODE, "<2h", 0, 0)


def html(path: Path) -> None:
    """A log-in page that was downloaded in place of the file."""
    path.write_bytes(b"<!DOCTYPE html><html><body>SECRET-CONTENT sign in</body></html>\n" * 20)


def lfs_pointer(path: Path) -> None:
    """What git leaves of a large file that was not pulled."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    path.write_text(text, encoding="utf-8")


def text_in_gzip(path: Path) -> None:
    """A table, compressed."""
    path.write_bytes(gzip.compress(b"SECRET-CONTENT a,b,c\n1,2,3\n" * 50, mtime=0))


def uncompressed(path: Path) -> None:
    """A plain NIfTI file that is named .nii.gz."""
    path.write_bytes(gzip.decompress(path.read_bytes()))


def empty(path: Path) -> None:
    """No byte."""
    path.write_bytes(b"")


def fifo(path: Path) -> None:
    """A pipe that nobody writes to: opening it would wait for ever."""
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    """A directory of the file's name."""
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    """A link to nothing."""
    path.unlink()
    path.symlink_to(path.with_name("nothing-here.nii.gz"))


def missing(path: Path) -> None:
    """No file."""
    path.unlink()


UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut_half": (cut_half, "truncated"),
    "cut_last_percent": (cut_last_percent, "truncated"),
    "cut_trailer": (cut_trailer, "truncated"),
    "wrong_checksum": (wrong_checksum, "CRC"),
    "flip_bit": (flip_bit, "CRC"),
    "huge": (huge, "32000"),
    "zero_size": (zero_size, "0"),
    "negative_size": (negative_size, "-5"),
    "not_a_number": (not_a_number, "1 "),
    "constant": (constant, "constant"),
    "forms_disagree": (forms_disagree, "qform"),
    "no_codes": (no_codes, "codes are 0"),
    "html": (html, "HTML"),
    "lfs_pointer": (lfs_pointer, "LFS"),
    "text_in_gzip": (text_in_gzip, "text"),
    "uncompressed": (uncompressed, "gzip"),
    "empty": (empty, "empty"),
    "fifo": (fifo, "pipe"),
    "folder": (folder, "folder"),
    "dangling": (dangling, "link"),
    "missing": (missing, "does not exist"),
}
"""Spoilers of an image, with a word that the complaint must hold."""


def fractional_labels(path: Path) -> None:
    """A label of 1.4."""
    array = np.zeros(SHAPE, np.float32)
    array[3:6, 3:6, 3:6] = 1.4
    save(path, array)


def negative_labels(path: Path) -> None:
    """A label of -1."""
    array = np.zeros(SHAPE, np.int16)
    array[3:6, 3:6, 3:6] = -1
    save(path, array)


def scaled_labels(path: Path) -> None:
    """Labels 1 and 2 stored as scaled integers, which come back as 1.00002 and 1.99999."""
    array = np.zeros(SHAPE, np.float64)
    array[2:4, 3:7, 2:6] = 1
    array[5:7, 3:7, 2:6] = 2
    scaled = nib.Nifti1Image(array, affine())
    scaled.set_data_dtype(np.int16)
    scaled.set_qform(affine(), 1)
    scaled.set_sform(affine(), 1)
    nib.save(scaled, path)


def elsewhere(path: Path) -> None:
    """Sound labels, 3 mm beside their image."""
    labels(path, matrix=affine((-2.0, -5.0, -5.0)))


def background(path: Path) -> None:
    """A map of zeros."""
    save(path, np.zeros(SHAPE, np.uint8))
