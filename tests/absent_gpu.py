# mypy: allow-untyped-calls
# ruff: noqa: SLF001 - what is not public is how PyTorch lets a device be played
"""Steps on a GPU that is not there: the calls that would make the host wait for it, as JSON.

    python tests/absent_gpu.py

Tensors on it have shapes and no numbers. A process of its own, since PyTorch knows one such device
for good once it is named. Noise is left out: a generator needs a device that is there.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from builders.training_cases import SPACING, case, settings
from tenter import networks
from tenter.config import TrainSettings
from tenter.sampling import batches
from tenter.sampling.cohort import Box, Case
from tenter.sampling.draws import draw, outline
from tenter.training.step import Learner

NAME = "absent"

CASES = [case("p0"), case("p1", "b", ("structure",)), case("p2", "c")]
LOOKS = {
    "blur_mm": 1,
    "bias": {"amplitude": 0.2, "spacing_mm": 8},
    "gamma": 0.1,
    "gain": 0.1,
    "offset": 0.1,
}
AUGMENTED = {
    "affine": 0.1,
    "pose": {"rotation_deg": 5},
    "deformation": {"amplitude_mm": 1, "spacing_mm": 8},
    "mirror": True,
    "intensity": {"moving": LOOKS, "fixed": LOOKS},
    "across": 0.5,
}
LABEL_TERMS = ("dice", "generalised_dice", "jaccard", "cross_entropy", "mean_squared", "centroid")
IMAGE_TERMS = ("ssd", "gncc", "lncc", "mutual_information", "mind")
FIELD_TERMS = ("bending", "gradient", "folding", "inverse_consistency")
EVERYTHING = {
    "losses": {
        "labels": [{"name": name} for name in LABEL_TERMS],
        "images": [{"name": name} for name in IMAGE_TERMS],
        "regularisers": [{"name": name} for name in FIELD_TERMS],
    },
    "augmentation": AUGMENTED,
    "average": 0.9,
    "clip": 1.0,
    "accumulate": 2,
    "precision": "bfloat16",
}
SMALL = {"name": "unet", "channels": 1, "depth": 1}
NETWORKS: dict[str, dict[str, Any]] = {
    "local": {"name": "local", "channels": 1},
    "parity": {"name": "local", "channels": 1, "parity": True},
    "global": {"name": "global", "channels": 1},
    "velocity": {**SMALL, "output": "velocity", "norm": "group"},
    "bspline": {**SMALL, "output": "bspline", "norm": "batch"},
    "keypoint": {"name": "keypoint", "channels": 1, "depth": 1},
    "cascade": {"name": "cascade", "factors": [2, 1], "network": SMALL},
    "composite": {"name": "composite", "second": SMALL},
}

_COPY, _TO_COPY = torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default
_INDEXING = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
    torch.ops.aten.index_put.default,
)
_DEPENDENT = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Waits(TorchDispatchMode):
    """Notes the calls before or after which a host waits for a GPU.

    Values and sizes that depend on what a tensor holds; copies to the host; copies to the GPU that
    are not asynchronous or not from page-locked memory; indices that lie on the host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._locked = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._waits(function, args, kwargs):
            self.found.append(f"{function} in {_place()}")
            if function is torch.ops.aten._local_scalar_dense.default:
                return 1.0 if args[0].is_floating_point() else 1
        result = function(*args, **kwargs)
        if kwargs.get("pin_memory") or (function is _COPY and args[0] in self._locked):
            self._locked[result] = True
        return result

    def _waits(self, function: Any, args: Any, kwargs: Any) -> bool:
        if function is _COPY:
            asynchronous = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
            return self._copy_waits(args[1], args[0].device, asynchronous)
        if function is _TO_COPY:
            target = kwargs.get("device") or args[0].device
            return self._copy_waits(args[0], target, kwargs.get("non_blocking", False))
        near = any(isinstance(one, Tensor) and one.device.type == NAME for one in args)
        if function in _INDEXING and near:
            return any(index is not None and index.device.type != NAME for index in args[1])
        return near and not _DEPENDENT.isdisjoint(function.tags)

    def _copy_waits(
        self,
        source: Tensor,
        target: torch.device,
        asynchronous: bool,  # noqa: FBT001
    ) -> bool:
        if target.type == source.device.type:
            return False
        return target.type == "cpu" or not asynchronous or source not in self._locked


def _place() -> str:
    frames = [frame for frame in traceback.extract_stack() if "/tenter/" in frame.filename]
    return f"{Path(frames[-1].filename).name} at {frames[-1].line}" if frames else "this file"


def near(one: Case, gpu: torch.device, *, images: bool) -> Case:
    """A case as it lies on a GPU, with its images or without them."""
    boxes = tuple(
        (Box(moving.start, moving.values.to(gpu)), Box(fixed.start, fixed.values.to(gpu)))
        for moving, fixed in one.boxes
    )
    moving, fixed = (image.to(gpu) if images else image for image in one.images)
    return replace(one, images=(moving, fixed), boxes=boxes)


def learner(chosen: TrainSettings, cases: list[Case], gpu: torch.device) -> Learner:
    with gpu:
        return Learner(
            networks.on_grid(chosen.network, 2, cases[0].images[0].shape[1:]), chosen, SPACING
        )


def steps(
    chosen: TrainSettings,
    gpu: torch.device,
    *,
    images: bool = True,
    whole: Sequence[Case] = CASES,
    count: int = 1,
) -> list[str]:
    """The calls of some steps for which the host waits."""
    cases = [near(one, gpu, images=images) for one in whole]
    learns = learner(chosen, cases, gpu)
    waits = Waits()
    with waits:
        for step in range(count):
            drawn = draw(outline(cases, SPACING), chosen, fold="0", step=step)
            learns.learn(batches.apply(drawn, cases, gpu), step)
    return waits.found


def flat(one: Case) -> Case:
    """The middle slice of a case."""
    images = (one.images[0][:, :, :, 4:5], one.images[1][:, :, :, 4:5])
    boxes = tuple(
        (Box(moving.start, moving.values[:, :, 4:5]), Box(fixed.start, fixed.values[:, :, 4:5]))
        for moving, fixed in one.boxes
    )
    return replace(one, images=images, boxes=boxes)


def planted(wait: Callable[[Tensor], object], gpu: torch.device) -> list[str]:
    """What is found where a network does something for which the host waits."""

    class Waiting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv3d(1, 3, 3, padding=1)

        def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
            wait(fixed)
            field: Tensor = self.inner(moving)
            return field

    cases = [near(one, gpu, images=True) for one in CASES]
    chosen = settings()
    with gpu:
        learns = Learner(Waiting(), chosen, SPACING)
    drawn = draw(outline(cases, SPACING), chosen, fold="0", step=0)
    batch = batches.apply(drawn, cases, gpu)
    waits = Waits()
    with waits:
        learns.learn(batch, 0)
    return waits.found


def report(gpu: torch.device) -> list[str]:
    learns = learner(settings(), CASES, gpu)
    waits = Waits()
    with waits:
        learns.means()
    return waits.found


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _Numberless(FakeTensorMode):
    @property
    def avoid_device_init(self) -> bool:
        """No number of the host may be copied in earnest; so uploads of constants are seen too."""
        return True


def main() -> int:
    backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
    gpu = torch.device(NAME, 0)
    # Autocast's own casts, from one precision to another on the device, are not played.
    library = torch.library.Library("_", "IMPL")
    library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    found = {}
    with _Numberless(allow_non_fake_inputs=True):
        for name, network in NETWORKS.items():
            found[name] = steps(settings(network=network), gpu)
        found["everything"] = steps(settings(**EVERYTHING), gpu, count=2)
        found["images on the host"] = steps(settings(**EVERYTHING), gpu, images=False)
        found["a slice"] = steps(settings(**EVERYTHING), gpu, whole=[flat(one) for one in CASES])
        found["planted item"] = planted(lambda image: image.sum().item(), gpu)
        found["planted upload"] = planted(
            lambda image: torch.tensor([1.0, 2.0], device=image.device), gpu
        )
        found["planted download"] = planted(lambda image: image.cpu(), gpu)
        found["report"] = report(gpu)
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
