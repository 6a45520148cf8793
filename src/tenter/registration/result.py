"""A registered pair of a new patient: its map, its pictures, and its folder of files."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32

from tenter import __version__, files, pairwork
from tenter.cases import plans
from tenter.cases.case_files import PreparedImages
from tenter.config import RegistrationExport, TestTime
from tenter.errors import DataError, InputError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.records import AlignmentRule, Fault, Plan
from tenter.registration import exports, picture
from tenter.registration.inputs import Original
from tenter.registration.plausibility import Figures
from tenter.reporting import overview
from tenter.spatial import pull
from tenter.spatial.transform import Transform

FORMAT = 1
RECORD = "register.json"
OVERVIEW = "overview.png"
NOTEBOOK_DPI = 65
RETURN_MM = 0.5
"""Round-trip errors of the inverse above this cause a warning."""

_log = logging.getLogger(__name__)

PARTS = ("load model", "read", "prepare", "network", "measure", "write")
"""The parts of a registration that are timed."""

Extra = Literal["inverse", "ras", "fsl", "learn2reg"]


@contextlib.contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add the time spent inside the block to a part of the work."""
    start = time.perf_counter()
    yield
    seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Registration:
    """The registration of two images by a finished model.

    Attributes:
        transform: fixed point to moving point, RAS mm; alignment and field together.
        moving: the original moving image.
        fixed: the original fixed image.
        images: both on the case grid.
        plan: of the model.
        model: its name.
        members: fold and sha256 of the weights of each member.
        alignment: rule that placed the moving image before the network.
        test_time: the requested test-time options, or None.
        done: what the test-time options did, or None.
        figures: measures of the field.
        warnings: to read before relying on the result.
        seconds: time of each part of the work.
    """

    transform: Transform
    moving: Original
    fixed: Original
    images: PreparedImages
    plan: Plan
    model: str
    members: tuple[tuple[str, str], ...]
    alignment: AlignmentRule
    test_time: TestTime | None
    done: dict[str, Any] | None
    figures: Figures
    warnings: tuple[Fault, ...]
    seconds: dict[str, float]

    @functools.cached_property
    def field_mm(self) -> Float32[np.ndarray, "3 x y z"]:
        """The whole map as displacement on the fixed image's voxels, RAS mm."""
        source = self.images.fixed_source
        return pull.displacement(self.transform, source.affine, source.shape).numpy()

    @functools.cached_property
    def warped(self) -> Volume:
        """The original moving image on the fixed image's grid."""
        source = self.images.fixed_source
        image = torch.from_numpy(self.moving.volume.array)[None]
        moved = pull.pull_by(
            image, torch.from_numpy(self.field_mm), source.affine, self.moving.volume.affine
        )
        return Volume(moved.numpy(), source.affine)

    def save(
        self, folder: str | Path, *, export: Sequence[Extra] = (), overwrite: bool = False
    ) -> tuple[Path, ...]:
        """Write transform, field, warped image, a picture and `register.json`.

        Args:
            folder: created if absent.
            export: further files: the `inverse`, or the field as `ras`, `fsl` or `learn2reg`.
            overwrite: replace an earlier registration in the folder.

        Returns:
            The files.

        Raises:
            InputError: the folder is not empty, or the path cannot be a folder.
            OutputError: a file could not be written whole.
        """
        folder = Path(folder)
        require_room(folder, overwrite=overwrite)
        earlier = _earlier(folder / RECORD)
        with timed(self.seconds, "write"):
            paths = exports.write_transforms(folder, self.transform, [])
            settings = RegistrationExport.model_validate(dict.fromkeys(export, True))
            export_paths, figures = exports.write_exports(folder, self._source(), settings)
            paths += [*export_paths, folder / OVERVIEW]
            with files.written_whole(folder / OVERVIEW) as temporary:
                temporary.write_bytes(self.picture())
            for path in earlier:
                if path not in paths:
                    files.remove(path)
        description = self.description() | figures
        if figures.get("inverse_residual_mm", 0.0) > RETURN_MM:
            residual_mm = figures["inverse_residual_mm"]
            message = f"is mapped back by inverse.h5 with errors of up to {residual_mm} mm"
            fix = (
                "for an inverse that is exact except at folds, use transform.h5 and "
                "`tenter warp --inverse`"
            )
            fault = self.fixed.warning(message, fix)
            tell(fault)
            description["warnings"].append(_without_folders(fault))
        pairwork.seal(folder / RECORD, files.digest(description["model"]), paths, description)
        return (*paths, folder / RECORD)

    def picture(self, dots_per_inch: int = 100) -> bytes:
        """Three planes of both images, checkerboards and the deformed grid, as PNG."""
        scenes = picture.cuts(self.transform, self.moving.volume, self.fixed.volume)
        return overview.png(scenes, dots_per_inch)

    def description(self) -> dict[str, Any]:
        """The content of `register.json`; it contains no paths of this machine."""
        return {
            "format": FORMAT,
            "model": {
                "name": self.model,
                "members": [{"fold": fold, "sha256": sha256} for fold, sha256 in self.members],
                "plan": plans.plan_digest(self.plan),
            },
            "moving": _image_record(self.moving),
            "fixed": _image_record(self.fixed),
            "alignment": {"rule": self.alignment, "matrix": self.transform.alignment.tolist()},
            "displacement": {
                name: None if value is None else round(value, 4)
                for name, value in asdict(self.figures).items()
            },
            "test_time": self._test_time(),
            "warnings": [_without_folders(fault) for fault in self.warnings],
            "seconds": {part: round(value, 3) for part, value in self.seconds.items()},
            "device": self.transform.field.device.type,
            "threads": torch.get_num_threads(),
            "versions": {
                "tenter": __version__,
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "numpy": np.__version__,
            },
        }

    def __repr__(self) -> str:
        """One line: the images, the model, and measures of the field."""
        figures, count = self.figures, len(self.members)
        title = (
            f"{self.moving.name} to {self.fixed.name} by {self.model}, "
            f"{count} fold{'s' * (count > 1)}"
        )
        moved = f"displacement mean {figures.mean_mm:.2f} mm, largest {figures.largest_mm:.2f} mm"
        return f"Registration({title}: {moved}, {figures.folding_percent:.2g} % folded)"

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows."""
        return self.picture(NOTEBOOK_DPI)

    def _test_time(self) -> dict[str, Any] | None:
        if self.test_time is None:
            return None
        return {
            "settings": self.test_time.model_dump(mode="json", exclude={"ensemble"}),
            **(self.done or {}),
        }

    def _source(self) -> exports.Source:
        return exports.Source(
            transform=self.transform,
            moving=self.images.moving_source,
            fixed=self.images.fixed_source,
            names=(self.moving.name, self.fixed.name),
            image=lambda: self.moving.volume,
        )


def tell(warning: Fault) -> None:
    """Log a warning."""
    _log.warning("%s: %s; %s", warning.file, warning.message, warning.fix)


def require_room(folder: Path, *, overwrite: bool) -> None:
    """Reject a folder that results cannot or should not be written to.

    Raises:
        InputError: it is a file, is not writable, or is not empty and `overwrite` is not set.
    """
    message = fix = ""
    ancestor = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    if not ancestor.is_dir():
        message, fix = f"cannot be a folder ({ancestor.name} is a file)", "name another folder"
    elif not os.access(ancestor, os.W_OK | os.X_OK):
        message, fix = "cannot be written to", "choose another folder"
    elif folder.exists() and not overwrite and any(folder.iterdir()):
        message, fix = "is not empty", "name another folder, or overwrite it (`--overwrite`)"
    if message:
        raise InputError([Fault(str(folder), message, fix)])


def _earlier(record: Path) -> tuple[Path, ...]:
    """The files of an earlier registration, if its record can be read."""
    try:
        sealed = pairwork.sealed_files(record)
    except (DataError, TypeError, KeyError):
        return ()
    return tuple(path for path in sealed if path.parent == record.parent and path != record)


def _without_folders(warning: Fault) -> dict[str, str]:
    """A warning without paths of this machine."""
    return {"file": Path(warning.file).name, "message": warning.message, "fix": warning.fix}


def _image_record(image: Original) -> dict[str, Any]:
    return {
        "file": image.path.name if image.path else None,
        "sha256": volumes.sha256(image.path) if image.path else None,
        "shape": list(image.volume.array.shape[1:]),
        "channels": len(image.volume.array),
        "affine": image.volume.affine.tolist(),
    }
