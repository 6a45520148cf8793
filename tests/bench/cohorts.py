"""A simulated cohort prepared, registered and measured: tenter's stages,
and plain loops of peers' functions.

What the stages do besides (checking every byte, hashing, sealing) is in their time.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from measuring import Figure, from_times, in_turn, seconds
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.surface_distance import compute_average_surface_distance

from tenter import config, files, manifest, networks
from tenter.cases import case_files, plans
from tenter.manifest import rows
from tenter.records import Pair, Plan
from tenter.spatial import geometry
from tenter.stages.evaluate import evaluate
from tenter.stages.infer import infer
from tenter.stages.plan import plan
from tenter.stages.prepare_images import prepare_images
from tenter.stages.simulate import simulate
from tenter.training import models

NAMES = (
    config.NamedLabel(name="gland", key=0, role="structure"),
    config.NamedLabel(name="bladder", key=1, role="structure"),
)
SPACING_MM = 1.2
PLAN = config.PlanRules(alignment="centre")
NETWORK = config.LocalNetwork()
SMALL = config.UNetNetwork(channels=4)


@dataclass(frozen=True)
class Cohort:
    """Simulated pairs in a folder, and what is made of them."""

    root: Path
    pairs: tuple[str, ...]
    labels: config.LabelFiles

    @classmethod
    def simulated(cls, root: Path, count: int) -> Cohort:
        shutil.rmtree(root, ignore_errors=True)
        simulate(root / "cohort", pairs=count, patients=count, spacing_mm=SPACING_MM)
        ids = tuple(f"case-{index + 1:03d}" for index in range(count))
        cohort = cls(root, ids, config.LabelFiles(format="stack", names=NAMES))
        files.write_text(cohort.row_file, rows.text(cohort.rows(), cohort.table.parent))
        plan(rows=cohort.row_file, settings=PLAN, output=root / "plan.json")
        return cohort

    @property
    def table(self) -> Path:
        return self.root / "cohort/manifest.tsv"

    @property
    def row_file(self) -> Path:
        return self.root / "rows.json"

    def _given(self) -> dict[str, Any]:
        return {"rows": self.row_file, "code": "c"}

    def prepare(self) -> None:
        prepare_images(
            **self._given(), settings=config.ImageSettings(plan=PLAN),
            plan=self.root / "plan.json", cases=self.root / "cases", table=self.root / "images.tsv",
        )  # fmt: skip

    def write_model(self, network: config.Network = NETWORK) -> None:
        """A model of random weights; registers nothing, in the usual time."""
        torch.manual_seed(0)
        found = networks.build(network, (1, 1))
        state = {
            name: value + 1e-3 * torch.randn_like(value)
            for name, value in found.state_dict().items()
        }
        said = {
            "fold": "0", "network": network.model_dump(mode="json"),
            "channels": {"moving": 1, "fixed": 1}, "plan": asdict(self.planned()),
        }  # fmt: skip
        models.save(self.root / "model", state, said)

    def planned(self) -> Plan:
        return plans.read_plan(self.root / "plan.json")

    def register(self, network: config.Network = NETWORK) -> None:
        infer(
            **self._given(), images=self.root / "images.tsv", cases=self.root / "cases",
            models=(self.root / "model",),
            settings=config.InferSettings(network=network, export=config.RegistrationExport()),
            output=self.root / "fields", table=self.root / "fields.tsv", device="cpu",
        )  # fmt: skip

    def measure(self) -> None:
        settings = config.EvaluateSettings(
            labels=self.labels,
            evaluation=config.Evaluation(),
            warped_labels=False,
            mapped_points=False,
        )
        evaluate(
            **self._given(), fields=self.root / "fields.tsv", transforms=self.root / "fields",
            model="m", fold="0", settings=settings, output=self.root / "metrics.tsv",
        )  # fmt: skip

    def rows(self) -> tuple[Pair, ...]:
        return manifest.read(self.table)


@functools.cache
def cohort(root: Path, count: int) -> Cohort:
    """A cohort that all rows share."""
    return Cohort.simulated(root, count)


def preparation(root: Path, count: int, runs: int) -> Figure:
    """Images brought onto the case grid; both write into folders that are not there yet."""
    ours = cohort(root, count)
    plain = Plain(ours)
    times = [
        (_anew(ours.prepare, root / "cases"), _anew(plain.prepare, root / "plain"))
        for _ in range(runs)
    ]
    return from_times(
        f"prepare the images of {count} pairs, to a plain SimpleITK loop", times, bar=1.0
    )


def registration(root: Path, count: int, runs: int) -> Figure:
    """Registration by the default network of random weights."""
    ours = cohort(root, count)
    ours.prepare()
    ours.write_model()
    network = Forward(ours)
    network.all_pairs()
    times = [
        (_anew(ours.register, root / "fields"), seconds(network.all_pairs)) for _ in range(runs)
    ]
    more = [(whole - alone, alone) for whole, alone in times]
    what = f"register {count} prepared pairs: all but the default network's forward pass, to that"
    return from_times(what, more, bar=0.25)


def evaluation(root: Path, count: int, runs: int) -> Figure:
    """All strict metrics; a small network registers, for what it says does not matter here."""
    ours = cohort(root, count)
    ours.prepare()
    ours.write_model(SMALL)
    ours.register(SMALL)
    return in_turn(
        f"measure {count} pairs, to MONAI's and SimpleITK's functions", ours.measure,
        Plain(ours).measure, runs=runs, bar=0.3,
    )  # fmt: skip


def _anew(work: Callable[[], object], folder: Path) -> float:
    """Seconds of work whose folder is gone, on a disk that has written what it had to write."""
    shutil.rmtree(folder, ignore_errors=True)
    os.sync()
    return seconds(work)


class Forward:
    """The network alone, on all prepared pairs."""

    def __init__(self, cohort: Cohort) -> None:
        self.network = models.load(cohort.root / "model", torch.device("cpu")).network.eval()
        self.images = []
        for pair in cohort.pairs:
            case = case_files.read_images(cohort.root / "cases" / pair)
            self.images.append(
                [torch.from_numpy(np.array(side))[None] for side in (case.moving, case.fixed)]
            )

    @torch.inference_mode()
    def all_pairs(self) -> None:
        for moving, fixed in self.images:
            self.network(moving, fixed)


class Plain:
    """What somebody would write in an afternoon: SimpleITK and MONAI in a loop, nothing checked."""

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(torch.get_num_threads())

    def prepare(self) -> None:
        """Read, put the middles on one another, resample onto the case grid, normalise, write."""
        planned = self.cohort.planned()
        folder = self.cohort.root / "plain"
        folder.mkdir(exist_ok=True)
        for pair in self.cohort.rows():
            moving, fixed = (
                sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (pair.moving, pair.fixed)
            )
            grid = _grid(fixed, planned)
            shift = sitk.TranslationTransform(
                3, np.subtract(_middle(moving), _middle(fixed)).tolist()
            )
            for name, image, place in (
                ("moving", moving, shift),
                ("fixed", fixed, sitk.Transform()),
            ):
                case = sitk.Resample(sitk.Normalize(image), grid, place, sitk.sitkLinear)
                sitk.WriteImage(case, str(folder / f"{pair.id}-{name}.nii"))

    def measure(self) -> None:
        """Warp each label of each pair by the alignment and by the whole map;
        overlap, distances, folding.

        Distances of surfaces are those of structures, as in tenter. Non-diffeomorphic volume, which
        neither library knows, is left out.
        """
        for pair in self.cohort.rows():
            whole = sitk.ReadTransform(str(self.cohort.root / "fields" / pair.id / "transform.h5"))
            before = _first_of(whole)
            moving, fixed = (_labels(path) for path in (pair.moving_labels, pair.fixed_labels))
            _folding(whole, fixed[0])
            # What one image alone shows is at the end of its stack.
            for key, (one, other) in enumerate(zip(moving, fixed, strict=False)):
                target = _mask(other)
                surfaces = self.cohort.labels.label(key).role == "structure"
                for transform in (before, whole):
                    warped = _mask(sitk.Resample(one, other, transform, sitk.sitkLinear))
                    _compare(warped, target, other.GetSpacing()[::-1], surfaces=surfaces)


def _grid(fixed: sitk.Image, planned: Plan) -> sitk.Image:
    """An empty image of the case grid: the plan's,
    along the fixed image's axes and about its middle.
    """
    spacing = np.array(fixed.GetSpacing())
    own = np.eye(4)
    own[:3, :3] = np.reshape(fixed.GetDirection(), (3, 3)) * spacing
    own[:3, 3] = fixed.GetOrigin()
    affine = geometry.LPS @ geometry.canonical_grid(
        geometry.LPS @ own, fixed.GetSize(), planned.shape, planned.spacing_mm
    )
    grid = sitk.Image([int(size) for size in planned.shape], sitk.sitkFloat32)
    grid.SetSpacing([float(size) for size in planned.spacing_mm])
    grid.SetOrigin(affine[:3, 3].tolist())
    grid.SetDirection((affine[:3, :3] / planned.spacing_mm).ravel().tolist())
    return grid


def _middle(image: sitk.Image) -> tuple[float, ...]:
    centre: tuple[float, ...] = image.TransformContinuousIndexToPhysicalPoint(
        [(size - 1) / 2 for size in image.GetSize()]
    )
    return centre


def _first_of(transform: sitk.Transform) -> sitk.Transform:
    """The alignment, which a composite transform applies last."""
    first: sitk.Transform = sitk.CompositeTransform(transform).GetNthTransform(0)
    return first


def _labels(path: Path | None) -> list[sitk.Image]:
    """The channels of a label file."""
    stack = sitk.ReadImage(str(path), sitk.sitkFloat32)
    if stack.GetDimension() == 3:
        return [
            sitk.VectorIndexSelectionCast(stack, index)
            for index in range(stack.GetNumberOfComponentsPerPixel())
        ]
    size = [*stack.GetSize()[:3], 0]
    return [sitk.Extract(stack, size, [0, 0, 0, index]) for index in range(stack.GetSize()[3])]


def _mask(image: sitk.Image) -> torch.Tensor:
    scale = 255.0 if sitk.GetArrayViewFromImage(image).max() > 1 else 1.0
    return torch.from_numpy(sitk.GetArrayFromImage(image) >= 0.5 * scale)[None, None].float()


def _compare(
    warped: torch.Tensor, target: torch.Tensor, spacing: Sequence[float], *, surfaces: bool
) -> None:
    if not warped.any() or not target.any():
        return
    compute_dice(warped, target)
    if surfaces:
        how: dict[str, Any] = {"include_background": True, "spacing": list(spacing)}
        compute_hausdorff_distance(warped, target, percentile=95, **how)
        compute_average_surface_distance(warped, target, symmetric=True, **how)
    for mask in (warped, target):
        np.argwhere(mask[0, 0].numpy()).mean(0)


def _folding(transform: sitk.Transform, grid: sitk.Image) -> None:
    """Folded voxels, and the spread of the logarithms of volume's change."""
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        grid.GetSize(),
        grid.GetOrigin(),
        grid.GetSpacing(),
        grid.GetDirection(),
    )
    determinant = sitk.GetArrayViewFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
    np.count_nonzero(determinant <= 0)
    np.log(determinant[determinant > 0]).std()
