"""Reading of NIfTI: every byte is verified, and ambiguous headers are refused, not interpreted.

nibabel, ITK and other tools differ on ambiguous files; on the accepted ones they all agree.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from nibabel import nifti1, nifti2, spatialimages
from nibabel.quaternions import mat2quat

from tenter.errors import FormatError
from tenter.formats import headers, units
from tenter.formats.headers import Header, refusal
from tenter.formats.image_format import Finding, laid_out, unsupported
from tenter.formats.payloads import BLOCK, Layout, Packing, unpacked
from tenter.manifest import companions
from tenter.records import Fault
from tenter.shapes import Matrix
from tenter.spatial import slices

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_INFLATION = 1032
"""Deflate cannot shrink data by more than this factor."""

QUATERNION_STEP = 1e-6
"""Tolerance of quaternions stored as float32; near half a turn it is 2e-3 radians."""

SHORTEST_HEAD, LONGEST_HEAD = 348, 540
"""Bytes of the headers of NIfTI-1 and NIfTI-2."""

UNITS = {0: None, 1: "m", 2: "mm", 3: "um"}
"""Code of the spatial unit in `xyzt_units` to its name."""

EXPORT = "export the image again"

LABEL_INTENTS = {1002: "NIFTI_INTENT_LABEL", 1005: "NIFTI_INTENT_NEURONAME"}
STATISTICS = range(2, 25)
"""Intent codes of statistics (correlations, scores, p-values): images, whatever their values."""

VECTORS = frozenset((1004, 1005, 1006, 1007, 1008, 1009, *range(2006, 2010), 2016, 2017, 2018))
VECTORS -= set(LABEL_INTENTS)
"""Intent codes of matrices, displacements, vectors, point sets and FSL warps."""

RawHeader = nifti1.Nifti1Header
"""NIfTI-1 header; NIfTI-2's is a subclass."""


class Intent(NamedTuple):
    """The NIfTI intent, which states what the values mean: code, name and first parameter."""

    code: int
    name: str
    p1: float


def intent(path: Path) -> Intent:
    """Read the intent of a file.

    Raises:
        DataError: it is not a NIfTI file.
    """
    files = companions.pair(path)
    zipped = _is_zipped(path, files, headers.require_file(files[0]))
    raw = _raw_header(path, _first_bytes(files[0], "gzip" if zipped else "raw"))
    name = bytes(raw["intent_name"].item()).decode("latin-1").strip("\0 ")
    return Intent(int(raw["intent_code"]), name, float(raw["intent_p1"]))


def layout(path: Path) -> Layout:
    """Read and verify a header.

    Raises:
        DataError: the file or its header cannot be relied on.
    """
    files = companions.pair(path)
    start = headers.require_file(files[0])
    if len(files) > 1:
        headers.require_file(files[1])
    zipped = _is_zipped(path, files, start)
    packing: Packing = "gzip" if zipped else "raw"
    raw = _raw_header(path, _first_bytes(files[0], packing))
    slope, inter = _scaling(path, raw)
    voxel_layout = Layout(
        header=_header(path, raw),
        data=files[-1],
        packing=packing,
        skipped=_offset(path, raw, paired=len(files) > 1),
        slope=slope,
        inter=inter,
    )
    size = voxel_layout.data.stat().st_size
    if voxel_layout.bytes > (size * MAX_INFLATION + BLOCK if zipped else size):
        message = (
            f"is truncated, or its header is wrong: {size} bytes cannot hold "
            f"the {voxel_layout.bytes} it claims"
        )
        raise refusal(path, message, "copy it again from its source, or export the image again")
    return voxel_layout


def _is_zipped(path: Path, files: tuple[Path, ...], start: bytes) -> bool:
    """Whether a file is compressed by gzip, which its name must also indicate."""
    zipped = start.startswith(b"\x1f\x8b")
    if zipped == (files[0].suffix.lower() == ".gz"):
        return zipped
    if zipped:
        fix = "rename it to .nii.gz" if len(files) == 1 else "unpack both files with gunzip"
        raise refusal(path, "is gzip-compressed but not named so", fix)
    fix = "rename it to .nii" if _is_nifti(start) else "copy it again from its source"
    raise refusal(path, "is not gzip-compressed, although its name says so", fix)


def _is_nifti(block: bytes) -> bool:
    sizes = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
    return bool(sizes & {348, 540})


def _first_bytes(path: Path, packing: Packing) -> bytes:
    """The first bytes of a file, unpacked; they include the whole header if the file does."""
    content = b""
    try:
        with path.open("rb") as stream:
            for block in unpacked(stream, packing, LONGEST_HEAD):
                content += block
                if len(content) >= LONGEST_HEAD:
                    break
    except headers.UNREADABLE as error:
        if len(content) < SHORTEST_HEAD:
            message = f"is truncated or damaged ({error})"
            raise refusal(path, message, "copy it again from its source") from error
    return content[:LONGEST_HEAD]


def _raw_header(path: Path, block: bytes) -> RawHeader:
    orders = {int.from_bytes(block[:4], "little"): "<", int.from_bytes(block[:4], "big"): ">"}
    magic = {348: block[344:348], 540: block[4:8]}
    kinds: dict[int, Callable[..., RawHeader]] = {
        348: nifti1.Nifti1Header,
        540: nifti2.Nifti2Header,
    }
    for size, kind in kinds.items():
        if (
            size in orders
            and len(block) >= size
            and magic[size][:3] in {b"n+1", b"ni1", b"n+2", b"ni2"}
        ):
            return kind(block[:size], orders[size], check=False)
    if 348 in orders and len(block) >= 348:
        raise refusal(
            path,
            "is an Analyze file, which does not distinguish left from right",
            "convert it to NIfTI",
        )
    fix = "give the image itself, with its right suffix"
    raise FormatError(Fault(str(path), "is not a NIfTI file", fix))


def _header(path: Path, raw: RawHeader) -> Header:
    axes = int(raw["dim"][0])
    if not 1 <= axes <= 7:
        raise refusal(path, f"header claims {axes} axes", EXPORT)
    shape, channels = headers.sized(path, [int(size) for size in raw["dim"][1 : axes + 1]])
    affine = _affine(path, raw, shape)
    statement = "`xyzt_units` of its header to mm (2)"
    units.require_plausible_size(path, affine, shape, _unit(path, raw), statement)
    return Header(shape, channels, affine, _dtype(path, raw))


def _unit(path: Path, raw: RawHeader) -> str | None:
    """The unit of positions and voxel sizes that a header states, or None."""
    code = int(raw["xyzt_units"]) & 7
    if code not in UNITS:
        message = f"is measured in the unknown unit {code} (xyzt_units)"
        raise refusal(path, message, "set the unit in its header to mm (2), if that is right")
    return UNITS[code]


def _dtype(path: Path, raw: RawHeader) -> np.dtype[np.generic]:
    code = int(raw["datatype"])
    try:
        dtype: np.dtype[np.generic] = raw.get_data_dtype()
    except (KeyError, spatialimages.HeaderDataError):
        raise refusal(
            path, f"has an unknown data type ({code})", "store it as int16 or float32"
        ) from None
    if dtype.kind not in "iuf" or not 1 <= dtype.itemsize <= 8:
        name = nifti1.data_type_codes.label[code]
        raise refusal(
            path, f"holds {name} values", "store one real number (int16, float32) a voxel"
        )
    return dtype


def _offset(path: Path, raw: RawHeader, *, paired: bool) -> int:
    offset = float(raw["vox_offset"])
    least = 0 if paired else int(raw["sizeof_hdr"]) + 4
    if not math.isfinite(offset) or offset != int(offset) or not least <= offset <= 2**31:
        raise refusal(path, f"header claims that voxels begin at byte {offset}", EXPORT)
    return int(offset)


def _scaling(path: Path, raw: RawHeader) -> tuple[float, float]:
    if "scl_slope" not in raw:
        return 1.0, 0.0
    slope, inter = float(raw["scl_slope"]), float(raw["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise refusal(
            path, f"has slope {slope} with intercept {inter}", "repair scl_inter in its header"
        )
    return slope, inter


def _affine(path: Path, raw: RawHeader, shape: tuple[int, int, int]) -> Matrix:
    unit = _unit(path, raw)
    steps = np.abs(np.asarray(raw["pixdim"][1:4], dtype=np.float64)) * units.size_mm(unit)
    # The thickness of a slice is taken from its sform; otherwise it counts as unknown.
    along = np.arange(3) != slices.normal(shape)
    if not np.isfinite(steps).all() or (steps == 0)[along].any():
        raise refusal(
            path, f"voxel size (pixdim) is {steps.tolist()} mm", "repair pixdim in its header"
        )
    sform = units.in_mm(_sform(raw), unit) if int(raw["sform_code"]) > 0 else None
    qform = None
    if int(raw["qform_code"]) > 0:
        qform = headers.thickened(units.in_mm(_qform(path, raw), unit), shape)
    if sform is None and qform is None:
        message = (
            "does not say where it lies (sform and qform codes are 0; tools differ on such a file)"
        )
        raise refusal(path, message, "export it with its geometry, or set the sform with code 1")
    if sform is None:
        return headers.placed(path, np.asarray(qform))
    sform = headers.placed(path, headers.thickened(sform, shape))
    sform_steps = np.linalg.norm(sform[:3, :3], axis=0)
    if np.abs(sform_steps - steps)[along].max() > headers.TOLERANCE_MM * max(
        1.0, float(steps.max())
    ):
        message = (
            f"voxel size is {sform_steps.round(4).tolist()} mm by its sform, "
            f"{steps.round(4).tolist()} mm by pixdim"
        )
        raise refusal(path, message, "export it again (tools differ on such a file)")
    if qform is not None and not _agree(sform, qform, shape):
        gap = headers.gap_mm(sform, qform, shape)
        message = (
            f"sform and qform disagree by up to {gap:.4g} mm (tools differ on which they take)"
        )
        raise refusal(path, message, "set both to the right one, or the wrong one's code to 0")
    return sform


def _sform(raw: RawHeader) -> Matrix:
    return np.asarray(raw.get_sform(), dtype=np.float64)


def _qform(path: Path, raw: RawHeader) -> Matrix:
    """The qform; its third axis is reversed if pixdim[0] is negative, as in nifti1_io.c."""
    signed = raw.copy()
    signed["pixdim"][0] = -1 if raw["pixdim"][0] < 0 else 1
    try:
        return np.asarray(signed.get_qform(), dtype=np.float64)
    except (ValueError, spatialimages.HeaderDataError) as error:
        fix = (
            "set qform_code to 0 (the sform is then used)" if int(raw["sform_code"]) > 0 else EXPORT
        )
        raise refusal(path, f"qform cannot be read ({error})", fix) from error


def _agree(sform: Matrix, qform: Matrix, shape: tuple[int, int, int]) -> bool:
    """Whether sform and qform agree within the tolerance or within the precision of a qform.

    A qform is a unit quaternion without its real part, in float32. Near half a turn the real part
    is lost in rounding: a qform that was computed from its sform then differs by up to 0.4 mm.
    """
    if headers.gap_mm(sform, qform, shape) <= headers.TOLERANCE_MM:
        return True
    scales = [np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (sform, qform)]
    turns = [matrix[:3, :3] / scale for matrix, scale in zip((sform, qform), scales, strict=True)]
    signs = [float(np.sign(np.linalg.det(turn))) for turn in turns]
    origins = np.abs(sform[:3, 3] - qform[:3, 3]).max()
    sizes = (np.abs(scales[0] - scales[1]) * np.array(shape)).max()
    if signs[0] != signs[1] or max(origins, sizes) > headers.TOLERANCE_MM:
        return False
    stored = [mat2quat(turn * [1, 1, signs[0]])[1:] for turn in turns]
    return bool(
        min(np.abs(stored[0] - stored[1]).max(), np.abs(stored[0] + stored[1]).max())
        <= QUATERNION_STEP
    )


def _marked(path: Path) -> Finding | None:
    code = intent(path).code
    if code in LABEL_INTENTS:
        return Finding("labels", f"its intent code is {code}, {LABEL_INTENTS[code]}")
    if code in STATISTICS:
        return Finding("image", f"its intent code is {code}, a statistic")
    if code in VECTORS:
        fix = (
            "apply it with --transform if it is a transform; --kind image resamples each component "
            "separately, as if it were an image"
        )
        raise unsupported(
            path, f"holds vectors (intent code {code}), which would have to be rotated as well", fix
        )
    return None


FORMAT = laid_out((".nii", ".nii.gz", ".hdr", ".img"), layout, companions.pair, _marked)
