"""Transform files of programs other than ITK: each is refused with the command that converts it.

Most of them map moving points to fixed ones, or use coordinates that only their images define. Such
a file cannot be interpreted alone, and SimpleITK reads some of them (of MNI) as its own.
"""

from __future__ import annotations

import re
from pathlib import Path

from tenter.formats.headers import refusal

LONGEST = 2**16
"""Bytes at the start of a file that are inspected."""

ITK = b"#Insight Transform File"
NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
REGISTER_DAT = (
    rf"\A[^\n]*\n(?:[ \t]*{NUMBER}[ \t]*\n){{3}}"
    rf"(?:[ \t]*{NUMBER}(?:[ \t]+{NUMBER}){{3}}[ \t]*\n){{4}}"
)
PLAIN_MATRIX = rf"\A\s*{NUMBER}(?:\s+{NUMBER}){{11}}(?:(?:\s+{NUMBER}){{4}})?\s*\Z"

PROGRAMS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"\A\s*MNI Transform File"),
        "is an MNI transform (.xfm), which does not say which image is the moving one",
        (
            "convert it with FreeSurfer: lta_convert --inmni {name} --src MOVING --trg FIXED "
            "--outitk affine.txt"
        ),
    ),
    (
        re.compile(r"^nxforms\s*=\s*\d+", re.MULTILINE),
        "is a transform of FreeSurfer (.lta), from its source image to its target image",
        (
            "convert it with FreeSurfer: lta_convert --inlta {name} --outitk affine.txt (its "
            "source must be the moving image, otherwise add --invert)"
        ),
    ),
    (
        re.compile(REGISTER_DAT),
        "is a register.dat of FreeSurfer, in coordinates of its two images",
        (
            "convert it with FreeSurfer: lta_convert --inreg {name} --src MOVING --trg FIXED "
            "--outitk affine.txt"
        ),
    ),
    (
        re.compile(r"\A#\s*(?:3d\w+|cat_matvec)?[^\n]*(?:DICOM-to-DICOM|matrices)", re.IGNORECASE),
        "is a matrix of AFNI (.aff12.1D)",
        (
            "write it as an ITK transform: for rows a b c d, e f g h, i j k l the Parameters are "
            "a b c e f g i j k d h l"
        ),
    ),
    (
        re.compile(PLAIN_MATRIX),
        "is a plain matrix, which says neither its coordinates nor its direction",
        (
            "convert it to an ITK transform: from FSL (flirt) with c3d_affine_tool -ref FIXED -src "
            "MOVING {name} -fsl2ras -oitk affine.txt, from NiftyReg (reg_aladin) or greedy with "
            "c3d_affine_tool {name} -oitk affine.txt"
        ),
    ),
)
"""Characteristic text of a file, what the file is, and how to convert it."""

BINARY: tuple[tuple[bytes, int, str, str], ...] = (
    (
        b"MATLAB 5.0 MAT-file",
        0,
        "is a MATLAB file (SPM or another program), not an ITK transform",
        (
            "write its matrix with SimpleITK (AffineTransform, WriteTransform), from fixed to "
            "moving points in LPS mm"
        ),
    ),
    (
        b"\x93NUMPY",
        0,
        "is a NumPy array, which does not say what it holds",
        "give an ITK transform",
    ),
    (b"PK\x03\x04", 0, "is a NumPy or zip archive", "give an ITK transform"),
    (
        b"DICM",
        128,
        "is a DICOM file (a spatial registration?), which is not read",
        "load it in 3D Slicer, and save the transform as .h5",
    ),
)
"""Characteristic bytes, their offset, what the file is, and what to do."""

WARP_OF_FREESURFER = (
    "is a warp of FreeSurfer (.m3z)",
    "convert it with FreeSurfer: mri_warp_convert --inm3z {name} --outitk field.nii.gz",
)


def start(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(LONGEST)


def require_itk(path: Path) -> None:
    """Refuse a file that is recognised as one of another program than ITK.

    Raises:
        DataError: naming the program, and how to convert the file.
    """
    content = start(path)
    if content.startswith(ITK):
        return
    if path.name.lower().endswith(".m3z"):
        _refuse(path, *WARP_OF_FREESURFER)
    for mark, offset, message, fix in BINARY:
        if content[offset:].startswith(mark):
            _refuse(path, message, fix)
    if b"\0" not in content:
        text = content.decode("latin-1").replace("\r\n", "\n")
        for pattern, message, fix in PROGRAMS:
            if pattern.search(text):
                _refuse(path, message, fix)


def _refuse(path: Path, message: str, fix: str) -> None:
    raise refusal(path, message, fix.format(name=path.name))
