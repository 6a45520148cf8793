"""Transforms with their field as a tensor: writes ITK composites, and reads what others write.

Files use LPS mm, tenter uses RAS mm; both map a fixed point to its moving point. What is known of
the files themselves is in `itk_transforms`, and of fields stored as images in `fields`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from tenter import files
from tenter.errors import DataError, OutputError
from tenter.formats import fields, itk_transforms, known_formats
from tenter.records import Fault
from tenter.shapes import Matrix
from tenter.spatial import geometry
from tenter.spatial.transform import Transform

ORTHOGONAL = 1e-6
OVERHEAD = 65_536
"""Upper bound of the bytes of a transform file in addition to its field."""


def write_transform(path: Path, transform: Transform) -> None:
    """Write the whole map as an ITK composite of the field and the alignment.

    ITK applies the last transform of a composite first: in the file the alignment comes first
    and the field on its grid last. If the grid is sheared but its image under the alignment is not,
    as for an inverse, the field comes first, on that image, and the alignment last. If both are
    sheared, the field lies on a grid along the axes, with a linear transform on each side.

    Args:
        path: `.h5`.
        transform: the map.

    Raises:
        OutputError: the file could not be written completely.
    """
    after, grid, before = _divided(transform)
    displacements = _itk_field(transform, grid)
    # The transform takes ownership of the image and leaves it empty, hence the copy.
    field = sitk.DisplacementFieldTransform(sitk.Image(displacements))
    composite = sitk.CompositeTransform(
        [*map(_itk_affine, after), field, *map(_itk_affine, before)]
    )
    with files.written_whole(path) as temporary:
        files.require_space(temporary, 8 * displacements.GetNumberOfPixels() * 3 + OVERHEAD)
        try:
            sitk.WriteTransform(composite, str(temporary))
            written_field = next(
                filter(itk_transforms.is_field, itk_transforms.parts_of(temporary))
            )
        except (RuntimeError, DataError) as error:
            files.require_writable(temporary)
            message = f"could not be written completely ({itk_transforms.reason(error)})"
            raise OutputError(Fault(str(path), message, "run the same command again")) from error
        if not np.array_equal(
            itk_transforms.displacements(written_field), sitk.GetArrayViewFromImage(displacements)
        ):
            message = "reads back differently from what was written"
            raise OutputError(Fault(str(path), message, "check the disk"))


def read_transform(path: Path) -> Transform:
    """Read a transform from fixed to moving points.

    Args:
        path: a file of `write_transform`; any linear ITK transform; a displacement field, as a
            transform (`.h5`, `.tfm`, `.mat`) or as an image (`fields.read_field`); a composite
            of linear transforms and at most one displacement field, in any order; or linear
            transforms of elastix.

    Returns:
        The same map, with its field in float32 on the CPU; 2 x 2 x 2 zeros if it has none.

    Raises:
        DataError: it is missing, damaged, or another kind of transform.
    """
    if path.name.lower().endswith(known_formats.suffixes()):
        return fields.read_field(path)
    stored = itk_transforms.read(path)
    return Transform(stored.alignment, torch.from_numpy(stored.field)[None], stored.affine)


def _divided(transform: Transform) -> tuple[list[Matrix], Matrix, list[Matrix]]:
    """Linear maps after a field, the field's grid free of shear, and linear maps before it."""
    grid, image = transform.affine, transform.alignment @ transform.affine
    if not _is_sheared(grid):
        return [transform.alignment], grid, []
    if not _is_sheared(image):
        return [], image, [transform.alignment]
    plain = np.diag([*geometry.spacing_mm(grid), 1.0])
    return [image @ np.linalg.inv(plain)], plain, [plain @ np.linalg.inv(grid)]


def _itk_affine(matrix: Matrix) -> sitk.AffineTransform:
    lps = geometry.LPS @ matrix @ geometry.LPS
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(lps[:3, :3].ravel().tolist())
    affine.SetTranslation(lps[:3, 3].tolist())
    return affine


def _is_sheared(grid: Matrix) -> bool:
    direction = grid[:3, :3] / geometry.spacing_mm(grid)
    return bool(np.abs(direction.T @ direction - np.eye(3)).max() > ORTHOGONAL)


def _itk_field(transform: Transform, grid: Matrix) -> sitk.Image:
    """The field in mm, on a grid with the same number of voxels."""
    lps = geometry.LPS @ grid
    spacing = np.array(geometry.spacing_mm(grid))
    voxels = transform.field[0].detach().to(device="cpu", dtype=torch.float64)
    displacements = torch.einsum("rc,cxyz->zyxr", torch.from_numpy(lps[:3, :3]), voxels)
    image = sitk.GetImageFromArray(displacements.numpy(), isVector=True)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image
