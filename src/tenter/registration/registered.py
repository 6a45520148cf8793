"""A registered pair of a new patient: its map, what it looks like, and its folder of files."""

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
from tenter.registration.concerns import Figures
from tenter.registration.inputs import Original
from tenter.reporting import overview
from tenter.spatial import pull
from tenter.spatial.transform import Transform

FORMAT = 1
RECORD = "register.json"
OVERVIEW = "overview.png"
NOTEBOOK_DPI = 65
RETURN_MM = 0.5
"""Points that return further than this from their place are told of."""

_log = logging.getLogger(__name__)

PARTS = ("load model", "read", "prepare", "network", "measure", "write")
"""What a registration's time is spent on."""

Extra = Literal["inverse", "ras", "fsl", "learn2reg"]


@contextlib.contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add the time that a part of the work takes."""
    start = time.perf_counter()
    yield
    seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Registration:
    """Two images that a finished model has brought together.

    Attributes:
        transform: fixed point to moving point, RAS mm; alignment and field together.
        moving: the original moving image.
        fixed: the original fixed image.
        images: both on the case grid.
        plan: of the model.
        model: its name.
        members: fold and sha256 of the weights, for each model that took part.
        alignment: rule that placed the moving image before the network.
        test_time: what was asked for beyond the network's answer, or None.
        done: what came of it, or None.
        figures: what the field is like.
        warnings: what should be known before the result is relied on.
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
        moved = pull.pull_by(image, torch.from_numpy(self.field_mm), source.affine, self.moving.volume.affine)
        return Volume(moved.numpy(), source.affine)

    def save(
        self, folder: str | Path, *, export: Sequence[Extra] = (), overwrite: bool = False
    ) -> tuple[Path, ...]:
        """Write transform, field, warped image, a picture and `register.json`.

        Args:
            folder: made where absent.
            export: further files: the `inverse`, or the field for readers of `ras`, `fsl` or `learn2reg`.
            overwrite: replace an earlier registration in the folder.

        Returns:
            The files.

        Raises:
            InputError: the folder holds something, or cannot be one.
            OutputError: a file could not be written whole.
        """
        folder = Path(folder)
        require_room(folder, overwrite=overwrite)
        earlier = _earlier(folder / RECORD)
        with timed(self.seconds, "write"):
            made = exports.write_transforms(folder, self.transform, [])
            wanted = RegistrationExport.model_validate(dict.fromkeys(export, True))
            further, said = exports.write_exports(folder, self._source(), wanted)
            made += [*further, folder / OVERVIEW]
            with files.written_whole(folder / OVERVIEW) as temporary:
                temporary.write_bytes(self.picture())
            for path in earlier:
                if path not in made:
                    files.remove(path)
        description = self.description() | said
        if said.get("inverse_residual_mm", 0.0) > RETURN_MM:
            gap = f"is led back to by inverse.h5 with errors of up to {said['inverse_residual_mm']} mm"
            fix = (
                "where it matters use transform.h5 and `tenter warp --inverse`, which is exact but for folds"
            )
            fault = self.fixed.warning(gap, fix)
            tell(fault)
            description["warnings"].append(_plain(fault))
        pairwork.seal(folder / RECORD, files.digest(description["model"]), made, description)
        return (*made, folder / RECORD)

    def picture(self, dots_per_inch: int = 100) -> bytes:
        """Three planes of both images, checkerboards and the deformed grid, as PNG."""
        scenes = picture.cuts(self.transform, self.moving.volume, self.fixed.volume)
        return overview.png(scenes, dots_per_inch)

    def description(self) -> dict[str, Any]:
        """What `register.json` says; no folder of this machine is in it."""
        return {
            "format": FORMAT,
            "model": {
                "name": self.model,
                "members": [{"fold": fold, "sha256": sha256} for fold, sha256 in self.members],
                "plan": plans.plan_digest(self.plan),
            },
            "moving": _told(self.moving),
            "fixed": _told(self.fixed),
            "alignment": {"rule": self.alignment, "matrix": self.transform.alignment.tolist()},
            "displacement": {
                name: None if value is None else round(value, 4)
                for name, value in asdict(self.figures).items()
            },
            "test_time": self._test_time(),
            "warnings": [_plain(fault) for fault in self.warnings],
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
        """One line: what was registered by what, and what came of it."""
        found, count = self.figures, len(self.members)
        who = f"{self.moving.name} to {self.fixed.name} by {self.model}, {count} fold{'s' * (count > 1)}"
        moved = f"displacement mean {found.mean_mm:.2f} mm, largest {found.largest_mm:.2f} mm"
        return f"Registration({who}: {moved}, {found.folding_percent:.2g} % folded)"

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows."""
        return self.picture(NOTEBOOK_DPI)

    def _test_time(self) -> dict[str, Any] | None:
        if self.test_time is None:
            return None
        return {"settings": self.test_time.model_dump(mode="json", exclude={"ensemble"}), **(self.done or {})}

    def _source(self) -> exports.Source:
        return exports.Source(
            transform=self.transform,
            moving=self.images.moving_source,
            fixed=self.images.fixed_source,
            names=(self.moving.name, self.fixed.name),
            image=lambda: self.moving.volume,
        )


def tell(warning: Fault) -> None:
    """Show a warning to whoever is looking."""
    _log.warning("%s: %s; %s", warning.file, warning.message, warning.fix)


def require_room(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that results cannot or should not be written to.

    Raises:
        InputError: it is a file, holds something and `overwrite` is not set, or is not writable.
    """
    wrong = fix = ""
    above = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        wrong, fix = f"cannot be a folder ({above.name} is a file)", "name another folder"
    elif not os.access(above, os.W_OK | os.X_OK):
        wrong, fix = "cannot be written to", "choose another folder"
    elif folder.exists() and not overwrite and any(folder.iterdir()):
        wrong, fix = "is not empty", "name another folder, or overwrite it (`--overwrite`)"
    if wrong:
        raise InputError([Fault(str(folder), wrong, fix)])


def _earlier(record: Path) -> tuple[Path, ...]:
    """The files that an earlier registration left, as far as its record can be read."""
    try:
        found = pairwork.sealed_files(record)
    except (DataError, TypeError, KeyError):
        return ()
    return tuple(path for path in found if path.parent == record.parent and path != record)


def _plain(warning: Fault) -> dict[str, str]:
    """A warning without the machine's folders."""
    return {"file": Path(warning.file).name, "message": warning.message, "fix": warning.fix}


def _told(image: Original) -> dict[str, Any]:
    return {
        "file": image.path.name if image.path else None,
        "sha256": volumes.sha256(image.path) if image.path else None,
        "shape": list(image.volume.array.shape[1:]),
        "channels": len(image.volume.array),
        "affine": image.volume.affine.tolist(),
    }
