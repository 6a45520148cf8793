"""What `tenter check` takes of memory, whatever its files claim."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from builders import dicoms, faulty_files

SIDE = 420
"""Voxels along each axis: as float32, which images become, 280 MiB; four at a time are too much."""

LIMIT_KB = 2**20
MEASURE = """
import re, sys
from pathlib import Path
from tenter.errors import InputError
from tenter.stages.check import check
try:
    check(Path(sys.argv[1]), threads=4)
except InputError as error:
    print(error)
# Not getrusage, whose peak is inherited from the process that started this one.
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def packed(content: int, wbits: int) -> bytes:
    """So many zeros, compressed."""
    packer = zlib.compressobj(1, wbits=wbits)
    blocks = [
        packer.compress(bytes(min(2**24, content - start))) for start in range(0, content, 2**24)
    ]
    return b"".join(blocks) + packer.flush()


def nifti(path: Path, sizes: tuple[int, ...], code: int, bits: int) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape(sizes)
    header["datatype"], header["bitpix"], header["vox_offset"], header["magic"] = (
        code,
        bits,
        352,
        b"n+1",
    )
    header["pixdim"][1:4] = 0.5
    header.set_xyzt_units("mm")
    header.set_sform(np.diag([0.5, 0.5, 0.5, 1]), 1)
    voxels = packed(min(int(np.prod(sizes, dtype=np.int64)) * bits // 8, SIDE**3), 31)
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)) + voxels)


def meta(path: Path) -> None:
    path.write_bytes(
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\n"
        f"DimSize = {SIDE} {SIDE} {SIDE}\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 1\n"
        "ElementType = MET_UCHAR\n"
        "ElementDataFile = LOCAL\n".encode()
        + packed(SIDE**3, 15)
    )


def nrrd(path: Path) -> None:
    path.write_bytes(
        b"NRRD0005\ntype: uint8\nencoding: gzip\ndimension: 4\nsizes: 100 140 112 28\nspace: LPS\n"
        b"space directions: none (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n"
        + packed(100 * 140 * 112 * 28, 31)
    )


def dicom(folder: Path) -> None:
    frame = np.zeros((1, 8000, 8000), np.uint16)
    for index in range(2):
        position, orientation, spacing = dicoms.place_elements(np.eye(4), index)
        places = {dicoms.POSITION: ("DS", position), dicoms.ORIENTATION: ("DS", orientation)}
        elements = (
            dicoms.pixel_elements(frame, dicoms.EXPLICIT)
            | places
            | {dicoms.SPACING: ("DS", spacing)}
        )
        dicoms.write(folder / f"{index}.dcm", elements, dicoms.EXPLICIT)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    names = []
    for number in range(6):
        nifti(folder / f"{number}.nii.gz", (SIDE, SIDE, SIDE), 2, 8)
        names.append(f"{number}.nii.gz")
    nifti(folder / "claim.nii.gz", (10000, 10000, 10000), 16, 32)
    nifti(folder / "wide.nii.gz", (40, 40, 40), 1792, 128)
    nifti(folder / "stack.nii.gz", (70, 56, 28, 400), 2, 8)
    meta(folder / "a.mha")
    nrrd(folder / "a.nrrd")
    dicom(folder / "series")
    names += ["claim.nii.gz", "wide.nii.gz", "stack.nii.gz", "a.mha", "a.nrrd", "series"]
    rows = [
        f"a{number}\tp{number}\t{first}\t{second}"
        for number, (first, second) in enumerate(zip(names[::2], names[1::2], strict=True))
    ]
    table = "\n".join(["pair\tpatient\tmoving_image\tfixed_image", *rows])
    (folder / "manifest.tsv").write_text(table + "\n", encoding="utf-8")
    (folder / "config.yaml").write_text(faulty_files.CONFIG, encoding="utf-8")
    return folder / "config.yaml"


def test_check_takes_less_than_a_gibibyte_whatever_its_files_claim(study: Path) -> None:
    command = [sys.executable, "-c", MEASURE, str(study)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    text, _, peak = done.stdout.rstrip().rpartition("\n")
    assert int(peak) < LIMIT_KB
    assert "1000000000000 voxels, above the limit" in text
    assert "complex128" in text
    assert text.count("is constant") == 10
