"""The reading rule of NIfTI: every byte is verified, and doubtful headers are refused, not interpreted.

nibabel, ITK and others differ on such files; whoever reads by this rule differs from none of them.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
from isal import igzip
from nibabel import nifti1, nifti2, spatialimages
from nibabel.quaternions import mat2quat

from tenter.data import headers
from tenter.data.headers import Header, refusal
from tenter.shapes import Matrix
from tenter.spatial import slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
MAX_INFLATION = 1032
"""Deflate cannot shrink data by more than this factor."""

BLOCK = 2**20
QUATERNION_STEP = 1e-6
"""Quaternions stored as float32 agree within this; near half a turn that is 2e-3 radians."""

RawHeader = nifti1.Nifti1Header
"""NIfTI-1 header; NIfTI-2's is a subclass."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A verified header, and where and how the voxels lie.

    Attributes:
        header: what every volume has.
        data: the file that holds the voxels (`.img` of a pair, else the file itself).
        offset: bytes before the first voxel.
        slope: factor of the stored values; 1 where none is given.
        inter: added to them; 0 where no slope is given.
    """

    header: Header
    data: Path
    offset: int
    slope: float
    inter: float

    @property
    def bytes(self) -> int:
        """Bytes that the uncompressed data file must have."""
        return self.offset + math.prod(self.header.shape) * self.header.channels * self.header.dtype.itemsize


class Intent(NamedTuple):
    """What a header says that the numbers mean: NIfTI's intent code, its name, its first parameter."""

    code: int
    name: str
    p1: float


def intent(path: Path) -> Intent:
    """Read what a file says that its numbers mean.

    Raises:
        DataError: it is not a NIfTI file.
    """
    raw = _raw_header(path, _head(parts(path)[0]))
    name = bytes(raw["intent_name"].item()).decode("latin-1").strip("\0 ")
    return Intent(int(raw["intent_code"]), name, float(raw["intent_p1"]))


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a volume: `.hdr` and `.img` of a pair, else the file itself."""
    if path.suffix.lower() not in {".hdr", ".img"}:
        return (path,)
    upper = path.suffix.isupper()
    return tuple(path.with_suffix(suffix.upper() if upper else suffix) for suffix in (".hdr", ".img"))


def layout(path: Path) -> Layout:
    """Read and verify a header.

    Raises:
        DataError: the file or its header cannot be relied on.
    """
    files = parts(path)
    start = headers.require_file(files[0])
    if len(files) > 1:
        headers.require_file(files[1])
    zipped = start.startswith(b"\x1f\x8b")
    if zipped != (files[0].suffix.lower() == ".gz"):
        what = "is gzip-compressed but not named so" if zipped else "is not gzip-compressed, against its name"
        raise refusal(path, what, "rename it to .nii.gz" if zipped else "rename it to .nii")
    raw = _raw_header(path, _head(files[0]))
    found = Layout(
        _header(path, raw), files[-1], _offset(path, raw, paired=len(files) > 1), *_scaling(path, raw)
    )
    size = found.data.stat().st_size
    if found.bytes > (size * MAX_INFLATION + BLOCK if zipped else size):
        what = f"is truncated, or its header lies: {size} bytes cannot hold the {found.bytes} it claims"
        raise refusal(path, what, "copy it again from its source")
    return found


def voxels(found: Layout) -> np.ndarray:
    """Stored values `[x, y, z]` or `[x, y, z, c]`, unscaled, after the last byte was verified.

    Raises:
        DataError: the data are truncated, too long or damaged.
    """
    content = _content(found.data, found.bytes)
    head = found.header
    shape = (*head.shape, head.channels) if head.channels > 1 else head.shape
    values = np.frombuffer(content, dtype=head.dtype, offset=found.offset)
    return values.reshape(shape, order="F")


def _head(path: Path) -> bytes:
    try:
        with _opened(path) as stream:
            return stream.read(540)
    except headers.UNREADABLE as error:
        raise refusal(path, f"is truncated or damaged ({error})", "copy it again from its source") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as stored:
        if path.suffix.lower() != ".gz":
            yield stored
            return
        with igzip.open(stored, "rb") as stream:
            yield stream


def _raw_header(path: Path, block: bytes) -> RawHeader:
    orders = {int.from_bytes(block[:4], "little"): "<", int.from_bytes(block[:4], "big"): ">"}
    magic = {348: block[344:348], 540: block[4:8]}
    kinds: dict[int, Callable[..., RawHeader]] = {348: nifti1.Nifti1Header, 540: nifti2.Nifti2Header}
    for size, kind in kinds.items():
        if size in orders and len(block) >= size and magic[size][:3] in {b"n+1", b"ni1", b"n+2", b"ni2"}:
            return kind(block[:size], orders[size], check=False)
    if 348 in orders and len(block) >= 348:
        raise refusal(path, "is an Analyze file, which does not say left from right", "convert it to NIfTI")
    raise refusal(path, "is not a NIfTI file", "give the image itself, with its right suffix")


def _header(path: Path, raw: RawHeader) -> Header:
    axes = int(raw["dim"][0])
    if not 1 <= axes <= 7:
        raise refusal(path, f"header claims {axes} axes", "export the image again")
    shape, channels = headers.sized(path, [int(size) for size in raw["dim"][1 : axes + 1]])
    unit = int(raw["xyzt_units"]) & 7
    if unit not in {0, 2}:
        name = {1: "metres", 3: "micrometres"}.get(unit, f"the unknown unit {unit}")
        raise refusal(path, f"is measured in {name}", "export it in mm")
    return Header(shape, channels, _affine(path, raw, shape), _dtype(path, raw))


def _dtype(path: Path, raw: RawHeader) -> np.dtype[np.generic]:
    code = int(raw["datatype"])
    try:
        dtype: np.dtype[np.generic] = raw.get_data_dtype()
    except (KeyError, spatialimages.HeaderDataError):
        raise refusal(path, f"has an unknown data type ({code})", "store it as int16 or float32") from None
    if dtype.kind not in "iuf" or not 1 <= dtype.itemsize <= 8:
        name = nifti1.data_type_codes.label[code]
        raise refusal(path, f"holds {name} values", "store one real number (int16, float32) a voxel")
    return dtype


def _offset(path: Path, raw: RawHeader, *, paired: bool) -> int:
    offset = float(raw["vox_offset"])
    least = 0 if paired else int(raw["sizeof_hdr"]) + 4
    if not math.isfinite(offset) or offset != int(offset) or not least <= offset <= 2**31:
        raise refusal(path, f"header claims that voxels begin at byte {offset}", "export the image again")
    return int(offset)


def _scaling(path: Path, raw: RawHeader) -> tuple[float, float]:
    if "scl_slope" not in raw:
        return 1.0, 0.0
    slope, inter = float(raw["scl_slope"]), float(raw["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise refusal(path, f"has slope {slope} with intercept {inter}", "repair scl_inter in its header")
    return slope, inter


def _affine(path: Path, raw: RawHeader, shape: tuple[int, int, int]) -> Matrix:
    steps = np.abs(np.asarray(raw["pixdim"][1:4], dtype=np.float64))
    # What a slice measures across is in its sform, or it counts as absent.
    along = np.arange(3) != slices.normal(shape)
    if not np.isfinite(steps).all() or (steps == 0)[along].any():
        raise refusal(path, f"voxel size (pixdim) is {steps.tolist()} mm", "repair pixdim in its header")
    sform = np.asarray(raw.get_sform(), dtype=np.float64) if int(raw["sform_code"]) > 0 else None
    qform = headers.thickened(_qform(path, raw), shape) if int(raw["qform_code"]) > 0 else None
    if sform is None and qform is None:
        what = "does not say where it lies (sform and qform codes are 0; tools differ on such a file)"
        raise refusal(path, what, "export it with its geometry, or set the sform with code 1")
    if sform is None:
        return headers.placed(path, np.asarray(qform))
    sform = headers.placed(path, headers.thickened(sform, shape))
    said = np.linalg.norm(sform[:3, :3], axis=0)
    if np.abs(said - steps)[along].max() > headers.TOLERANCE_MM * max(1.0, float(steps.max())):
        what = (
            f"voxel size is {said.round(4).tolist()} mm by its sform, {steps.round(4).tolist()} mm by pixdim"
        )
        raise refusal(path, what, "export it again (tools differ on such a file)")
    if qform is not None and not _agree(sform, qform, shape):
        gap = headers.gap_mm(sform, qform, shape)
        what = f"sform and qform disagree by up to {gap:.4g} mm (tools differ on which they take)"
        raise refusal(path, what, "set both to the right one, or the wrong one's code to 0")
    return sform


def _qform(path: Path, raw: RawHeader) -> Matrix:
    try:
        return np.asarray(raw.get_qform(), dtype=np.float64)
    except (ValueError, spatialimages.HeaderDataError) as error:
        raise refusal(
            path, f"qform cannot be read ({error})", "repair its header, or set its code to 0"
        ) from error


def _agree(sform: Matrix, qform: Matrix, shape: tuple[int, int, int]) -> bool:
    """Within the tolerance, or as closely as a qform can repeat an sform.

    A qform is a unit quaternion without its real part, in float32. Near half a turn the real
    part is lost in rounding: a qform that was written from its sform then lies up to 0.4 mm off.
    """
    if headers.gap_mm(sform, qform, shape) <= headers.TOLERANCE_MM:
        return True
    scales = [np.linalg.norm(item[:3, :3], axis=0) for item in (sform, qform)]
    turns = [item[:3, :3] / scale for item, scale in zip((sform, qform), scales, strict=True)]
    signs = [float(np.sign(np.linalg.det(turn))) for turn in turns]
    origins = np.abs(sform[:3, 3] - qform[:3, 3]).max()
    sizes = (np.abs(scales[0] - scales[1]) * np.array(shape)).max()
    if signs[0] != signs[1] or max(origins, sizes) > headers.TOLERANCE_MM:
        return False
    stored = [mat2quat(turn * [1, 1, signs[0]])[1:] for turn in turns]
    return bool(
        min(np.abs(stored[0] - stored[1]).max(), np.abs(stored[0] + stored[1]).max()) <= QUATERNION_STEP
    )


def _content(path: Path, expected: int) -> np.ndarray:
    content = np.empty(expected, dtype=np.uint8)
    filled = 0
    try:
        with _opened(path) as stream:
            while filled < expected:
                block = stream.read(min(BLOCK, expected - filled))
                if not block:
                    break
                content[filled : filled + len(block)] = np.frombuffer(block, dtype=np.uint8)
                filled += len(block)
            longer = bool(stream.read(1))  # at the end of a gzip stream this verifies CRC and length
    except EOFError:
        what = f"is truncated or damaged at its end: {filled} of {expected} bytes can be unpacked"
        raise refusal(path, what, "copy it again from its source") from None
    except headers.DAMAGE as error:
        raise refusal(path, f"is damaged ({error})", "copy it again from its source") from error
    except OSError as error:
        raise refusal(path, f"cannot be read ({error})", "check the disk") from error
    if filled < expected:
        raise refusal(path, f"is truncated: {filled} of {expected} bytes", "copy it again from its source")
    if longer:
        raise refusal(path, f"is longer than the {expected} bytes of its header", "export the image again")
    return content
