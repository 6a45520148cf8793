"""Image and label files, read by one rule and written whole: RAS mm inside, whatever the file says.

NIfTI (.nii, .nii.gz, .hdr/.img), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr); for images also folders
of DICOM slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from jaxtyping import Float32

from tenter import files
from tenter.config import LabelFiles
from tenter.data import dicom, headers, itk_files, nifti
from tenter.data.headers import CONFIGURATION, Header, Ways, refusal
from tenter.errors import DataError, InputError, OutputError
from tenter.records import Fault
from tenter.shapes import Matrix

__all__ = [
    "Header",
    "LabelVolume",
    "Volume",
    "header",
    "parts",
    "read_image",
    "read_labels",
    "read_values",
    "sha256",
    "write_image",
    "write_labels",
    "write_values",
]

MAX_LABELS = 1000
"""Distinct values above which a label map is held for an image."""

ROUNDING = 1e-3
"""Labels stored as scaled or real numbers may deviate this much from what they mean."""

LARGEST_LABEL = 2**31 - 1

WRITTEN = (".nii", ".nii.gz")
"""Suffixes of files that are written."""

GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An image: `[c, x, y, z]` float32, and voxel to RAS mm."""

    array: Float32[np.ndarray, "c x y z"]
    affine: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class LabelVolume:
    """The labels of one file.

    Attributes:
        values: integer map `[x, y, z]`, or soft stack `[l, x, y, z]` float32 in [0, 1].
        affine: voxel to RAS mm.
        keys: values of the map (from 1, those that occur), or channels of the stack (from 0).
        dtype: integer type in which the map's file stores them; None of a stack, and where it scales them.
    """

    values: np.ndarray
    affine: Matrix
    keys: tuple[int, ...]
    dtype: np.dtype[np.integer[Any]] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three axes as stored."""
        x, y, z = self.values.shape[-3:]
        return x, y, z

    @property
    def array(self) -> Float32[np.ndarray, "l x y z"]:
        """All labels in [0, 1], in the order of `keys`."""
        if not self.keys:
            return np.zeros((0, *self.shape), dtype=np.float32)
        return np.stack([self.mask(key) for key in self.keys])

    def mask(self, key: int) -> Float32[np.ndarray, "x y z"]:
        """One label in [0, 1]; zero everywhere for a key that the file lacks."""
        if self.values.ndim == 3:
            found: np.ndarray = self.values == key
            return found.astype(np.float32)
        if key not in self.keys:
            return np.zeros(self.shape, dtype=np.float32)
        mask: np.ndarray = self.values[key]
        return mask


def header(path: Path) -> Header:
    """Shape, channels, affine and stored type, without reading a voxel.

    Raises:
        DataError: the file or its header cannot be relied on.
    """
    if path.is_dir():
        return dicom.header(path)
    if _is_nifti(path):
        return nifti.layout(path).header
    return itk_files.header(path)


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a volume, the header's first.

    Raises:
        DataError: the format is not known, or the header that names the other is unreadable.
    """
    if path.is_dir():
        return dicom.parts(path)
    return nifti.parts(path) if _is_nifti(path) else itk_files.parts(path)


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a volume's content, of all its files; of a DICOM series whatever their names.

    Raises:
        DataError: one of them cannot be read.
    """
    for part in parts(path):
        headers.require_file(part)
    hashes = [files.sha256(part) for part in parts(path)]
    if path.is_dir():
        return files.digest(sorted(hashes))  # names of slices are no content
    return hashes[0] if len(hashes) == 1 else files.digest(hashes)


def read_image(path: Path) -> Volume:
    """Read an image to its last byte.

    A slope of 0, NaN or Inf means no scaling, and then the intercept does not count.

    Args:
        path: file, or folder of a DICOM series.

    Raises:
        DataError: the file is damaged, doubtful, or holds NaN or Inf.
    """
    head, stored, scaling = _stored(path)
    with np.errstate(over="ignore"):
        values = _scaled(stored, scaling).astype(np.float32)
    _require_finite(path, values)
    return Volume(np.ascontiguousarray(_channels_first(head, values)), head.affine)


def read_labels(path: Path, settings: LabelFiles, ways: Ways = CONFIGURATION) -> LabelVolume:
    """Read labels to the file's last byte.

    Args:
        path: integer map (3-D), or stack (4-D with one label a channel; 3-D is one label).
        settings: says which of the two it is.
        ways: what to advise where it is the other one.

    Raises:
        DataError: as `read_image`; or values are no labels (fractional or negative in a map,
            outside [0, 1] in a stack).
    """
    if path.is_dir():
        raise refusal(path, "is a folder", "give labels as one file: DICOM is read for images alone")
    head, stored, scaling = _stored(path)
    if settings.format == "stack" and stored.dtype.itemsize == 1:
        return _byte_stack(path, head, stored, scaling, ways)
    values = _scaled(stored, scaling)
    _require_finite(path, values)
    if settings.format == "map":
        return _label_map(path, head, values, ways)
    soft = _soft(path, _channels_first(head, values), ways)
    return LabelVolume(soft, head.affine, tuple(range(head.channels)))


def read_values(path: Path) -> tuple[np.ndarray, Matrix]:
    """Read a volume of whatever it is, to its last byte.

    Returns:
        `[c, x, y, z]` in the type in which the file stores it (float64 where it scales its
        numbers), and voxel to RAS mm.

    Raises:
        DataError: as `read_image`.
    """
    head, stored, scaling = _stored(path)
    values = _scaled(stored, scaling)
    with np.errstate(over="ignore"):
        _require_finite(path, values.astype(np.float32) if values.dtype == np.float64 else values)
    return _channels_first(head, values), head.affine


def write_image(path: Path, array: np.ndarray, affine: Matrix) -> None:
    """Write an image as NIfTI, with nothing in its header but its geometry.

    Args:
        path: `.nii` or `.nii.gz`.
        array: `[x, y, z]` or `[c, x, y, z]`, stored as float32; several channels become a 4th axis.
        affine: voxel to RAS mm.

    Raises:
        OutputError: it could not be written whole.
    """
    _write(path, _channels_last(array.astype(np.float32, copy=False)), affine)


def write_labels(
    path: Path, array: np.ndarray, affine: Matrix, dtype: np.dtype[np.integer[Any]] | None = None
) -> None:
    """Write labels as NIfTI, with nothing in its header but its geometry.

    Args:
        path: `.nii` or `.nii.gz`.
        array: integers `[x, y, z]` or `[l, x, y, z]`; or real numbers in [0, 1], stored as uint8
            with a slope of 1/255.
        affine: voxel to RAS mm.
        dtype: integer type in which to store integers, if it holds them; else, and by default, the
            smallest unsigned one.

    Raises:
        InputError: these are no labels, or the name asks for another format.
        OutputError: it could not be written whole.
    """
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    soft = array.dtype.kind == "f"
    limit = 1 + ROUNDING if soft else LARGEST_LABEL
    if not (-ROUNDING <= low <= high <= limit):
        message = f"labels from {low:g} to {high:g} cannot be written"
        fix = "give real numbers from 0 to 1" if soft else f"give whole numbers from 0 to {LARGEST_LABEL}"
        raise InputError([Fault(str(path), message, fix)])
    if soft:
        steps = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
        _write(path, _channels_last(steps), affine, slope=1 / 255)
        return
    if dtype is None or np.iinfo(dtype).max < high:
        dtype = np.min_scalar_type(int(high))
    _write(path, _channels_last(array.astype(dtype)), affine)


def write_values(path: Path, array: np.ndarray, affine: Matrix) -> None:
    """Write a volume of whatever it is as NIfTI, in the array's own type of number.

    Args:
        path: `.nii` or `.nii.gz`.
        array: `[x, y, z]` or `[c, x, y, z]`; integers of up to 32 bits, or real numbers.
        affine: voxel to RAS mm.

    Raises:
        OutputError: it could not be written whole.
    """
    _write(path, _channels_last(array.astype(array.dtype.newbyteorder("="), copy=False)), affine)


def _is_nifti(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(nifti.SUFFIXES):
        return True
    if name.endswith(itk_files.SUFFIXES):
        return False
    known = ", ".join((*nifti.SUFFIXES, *itk_files.SUFFIXES))
    mend = f"give one of {known}, or for an image the folder of a DICOM series"
    raise refusal(path, "is of no known format by its name", mend)


def _stored(path: Path) -> tuple[Header, np.ndarray, tuple[float, float]]:
    """Header, verified values `[x, y, z(, c)]` before scaling, slope and intercept."""
    if path.is_dir():
        return dicom.voxels(path)
    if _is_nifti(path):
        layout = nifti.layout(path)
        return layout.header, nifti.voxels(layout), (layout.slope, layout.inter)
    head, values = itk_files.voxels(path)
    return head, values, (1.0, 0.0)


def _require_finite(path: Path, values: np.ndarray) -> None:
    if values.dtype.kind != "f":
        return
    finite = np.isfinite(values)
    if finite.all():
        return
    count = int(values.size - np.count_nonzero(finite))
    first = tuple(int(index) for index in np.argwhere(~finite)[0])
    what = f"holds {count} voxels that are NaN, infinite or beyond float32, the first at index {first}"
    raise refusal(path, what, "mask or fill them before registration")


def _integers(path: Path, values: np.ndarray, ways: Ways) -> np.ndarray:
    if values.dtype.kind == "f":
        rounded = np.rint(values)
        worst = float(np.abs(values - rounded).max())
        if worst > ROUNDING:
            what = f"holds fractional labels (up to {worst:.3g} from an integer)"
            raise refusal(path, what, f"store integers; for soft labels {ways.to_stack}")
        values = rounded
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > LARGEST_LABEL:
        what = f"holds whole numbers from {low:.0f} to {high:.0f}, which are no labels"
        raise refusal(path, what, f"store 0 for background and whole numbers from 1 to {LARGEST_LABEL}")
    return values.astype(np.int32)


def _label_map(path: Path, head: Header, values: np.ndarray, ways: Ways) -> LabelVolume:
    if head.channels > 1:
        what = f"has {head.channels} channels but {ways.as_map}"
        raise refusal(path, what, f"{ways.to_stack}, or store one integer map")
    integers = _integers(path, values, ways)
    keys = tuple(int(key) for key in np.unique(integers) if key > 0)
    if len(keys) > MAX_LABELS:
        raise refusal(path, f"holds {len(keys)} different labels", "give a label map, not an image")
    plain = values.dtype.kind in "iu" and values.dtype.itemsize <= integers.dtype.itemsize
    return LabelVolume(integers, head.affine, keys, values.dtype.newbyteorder("=") if plain else None)


def _byte_stack(
    path: Path, head: Header, stored: np.ndarray, scaling: tuple[float, float], ways: Ways
) -> LabelVolume:
    """A stack of numbers of 8 bits: what each of them means is found once, not for every voxel."""
    low, high = int(stored.min()), int(stored.max())
    meant = _soft(path, _scaled(np.arange(low, high + 1), scaling), ways)
    # Unsigned differences are right whatever the sign of what is stored.
    channels = np.ascontiguousarray(_channels_first(head, stored)).view(np.uint8)
    soft = meant.take(channels - np.uint8(low % 256))
    return LabelVolume(soft, head.affine, tuple(range(head.channels)))


def _soft(path: Path, values: np.ndarray, ways: Ways) -> np.ndarray:
    """Labels between 0 and 1, float32; what rounding left of 0 and 1 is made whole."""
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        what = f"holds values from {low:g} to {high:g} in a label stack"
        raise refusal(path, what, f"store each label between 0 and 1, or {ways.to_map}")
    soft = np.clip(values.astype(np.float32), 0, 1)
    near = np.rint(soft)
    return np.ascontiguousarray(np.where(np.abs(soft - near) <= ROUNDING, near, soft))


def _scaled(stored: np.ndarray, scaling: tuple[float, float]) -> np.ndarray:
    """What stored numbers mean; float64, or as they are where nothing scales them."""
    slope, inter = scaling
    scaled: np.ndarray = stored if scaling == (1.0, 0.0) else stored * np.float64(slope) + inter
    return scaled


def _channels_first(head: Header, values: np.ndarray) -> np.ndarray:
    return values[None] if head.channels == 1 else np.moveaxis(values, 3, 0)


def _channels_last(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, 3)
    return array


def _write(path: Path, stored: np.ndarray, affine: Matrix, *, slope: float | None = None) -> None:
    if not path.name.lower().endswith(WRITTEN):
        fix = f"name it {' or '.join(WRITTEN)}"
        raise InputError([Fault(str(path), "asks for no format that volumes are written in", fix)])
    image = nib.Nifti1Image(stored, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1, strip_shears=True)
    image.header.set_xyzt_units("mm")
    if slope is not None:
        # The stored numbers are written as they are; the slope only says what they mean.
        image.header.set_slope_inter(slope, 0)
    content = _parts(image.header, stored)
    if path.name.endswith(".gz"):
        content = [igzip.compress(b"".join(content), GZIP_LEVEL, mtime=0)]
    with files.written_whole(path) as temporary:
        with temporary.open("wb") as stream:
            stream.writelines(content)
        _verify(temporary, path, sum(map(len, content)), stored.shape)


def _parts(head: Any, stored: np.ndarray) -> list[memoryview | bytes]:  # noqa: ANN401 - nibabel has no types
    """Header and voxels as they are laid out in a file."""
    head["magic"] = b"n+1"
    head["vox_offset"] = 352
    return [head.binaryblock + bytes(4), np.ascontiguousarray(stored.T).data.cast("B")]


def _verify(temporary: Path, path: Path, size: int, shape: tuple[int, ...]) -> None:
    """Read back what was written: disks and quotas may keep a part of it without a word."""
    try:
        head = header(temporary)
    except DataError as error:
        message = f"{path}: was not written whole ({error})"
        raise OutputError(message) from error
    kept = (*head.shape, head.channels) if head.channels > 1 else head.shape
    if temporary.stat().st_size != size or kept != shape:
        message = f"{path}: {temporary.stat().st_size} of {size} bytes were written; free some space"
        raise OutputError(message)
