"""Configuration of what is written, measured, summarised, shown and tracked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tenter import addresses
from tenter.config.cohort import Name, Positive
from tenter.config.paths import Address
from tenter.config.section import Section


class RegistrationExport(Section):
    """What registration itself writes for each pair, besides `transform.h5`."""

    field: bool = True
    """`field.nii.gz`: the whole map as displacement (LPS mm, intent 1007) on the fixed image's grid.

    ITK, SimpleITK, ANTs and 3D Slicer read it."""
    warped_image: bool = True
    """`warped_image.nii.gz`: the moving image on the fixed image's grid."""
    inverse: bool = False
    """Moving to fixed points: `inverse.h5`, and `inverse_field.nii.gz` on the moving image's grid.

    Where the network folds there is no way back; `infer.json` says how far points return from their place."""
    ras: bool = False
    """`field_ras.nii.gz`: as `field`, in RAS mm with intent 1006."""
    fsl: bool = False
    """`field_fsl.nii.gz`: a relative warp in FSL's mm, for `applywarp`."""
    learn2reg: bool = False
    """`disp_<fixed>_<moving>.nii.gz`: displacement in voxels, as Learn2Reg's evaluation reads it.

    Named by the patients' ids; numeric ones are padded to four digits."""


class Export(RegistrationExport):
    """What is written for each pair, besides `transform.h5`."""

    warped_labels: bool = False
    """Labels warped onto the fixed image's grid; written by evaluation."""
    points: bool = True
    """`mapped_points/<model>/<pair>.tsv`: the pair's fixed points where the moving image shows them.

    Written by evaluation where a pair has points."""


Family = Literal["strict", "learn2reg", "muregpro"]


class Evaluation(Section):
    """How results are measured."""

    families: tuple[Family, ...] = ("strict",)
    """Families of metrics. `strict` (mm, nothing averaged away) is measured in any case.

    `learn2reg` and `muregpro` add figures as these challenges' programs compute them."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """A soft label counts as present from this value on."""
    surface_metrics: bool = True
    """Whether Hausdorff (95 %) and mean surface distances are measured, for structures."""


class Summary(Section):
    """How results are summarised."""

    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 2_000
    """No longer used: intervals are computed without resampling. Accepted for older configurations."""
    seed: Annotated[int, Field(ge=0)] = 0
    """No longer used, as `bootstrap`."""
    reference: Name | None = None
    """Model, or test-time option `<model>-<option>`, that others are compared with; default: the first."""


class Report(Section):
    """What the report shows."""

    title: str = ""
    """Title; default: the study's name."""
    examples: Annotated[int, Field(ge=0, le=20)] = 3
    """Pairs shown as image panels for each model: best, median, worst, ... (3 gives one of each)."""


class Tracking(Section):
    """Where runs are mirrored for comparison."""

    uri: Address | None = None
    """MLflow tracking address; default: a SQLite database inside the study's results.

    Give a server's login in the environment variables MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD. One in the address works, but stands in this file; it is shown as `***`."""
    experiment: Name | None = None
    """MLflow experiment; default: the study's name."""
    timeout_s: Positive = 10.0
    """Longest time a training may lose to a tracking server in all."""

    @field_validator("uri")
    @classmethod
    def _address_can_work(cls, uri: str | None) -> str | None:
        found = None if uri is None else addresses.fault(uri)
        if found is not None:
            message = f"{found[0]}; {found[1]}"
            raise ValueError(message)
        return uri


class Runtime(Section):
    """Where work runs; none of it decides what is computed."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of training and registration; `auto` takes a GPU where there is one."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of a training or registration; results on a CPU are bit-equal at equal threads."""
    devices: Annotated[int, Field(ge=1)] = 1
    """GPUs that share each batch of one training, on each of its nodes; on CPUs as many processes.

    A step is the same for any number, but for rounding; they must share `training.batch` over
    `training.accumulate` equally."""
    nodes: Annotated[int, Field(ge=1)] = 1
    """Nodes of one training, of a Slurm cluster."""
    execution: Literal["eager", "compiled"] = "eager"
    """How networks are run while they learn: `compiled` by `torch.compile`, on GPUs as CUDA graphs.

    Compiling takes minutes before the first step, and rounds otherwise: bits are not those of `eager`."""
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    """How the weights of convolutions lie on a GPU; which is the faster depends on network and GPU.

    On a CPU channels lie innermost in any case."""
    checkpoint_s: Positive = 120.0
    """Seconds between two checkpoints."""
    log_every: Annotated[int, Field(ge=1)] = 50
    """Steps between two log lines."""
    margin_s: Annotated[float, Field(ge=0)] = 180.0
    """Seconds before a cluster job's time limit at which a training writes a checkpoint and leaves.

    It goes on when the job begins anew."""
