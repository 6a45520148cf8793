"""Configuration of outputs: exported files, metrics, summary, report, tracking, and runtime."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, field_validator

from tenter import addresses
from tenter.config.cohort import Name, Positive
from tenter.config.metrics import CustomMetric
from tenter.config.paths import Address
from tenter.config.section import Section
from tenter.errors import InvalidValueError


class RegistrationExport(Section):
    """Files that registration writes for each pair, besides `transform.h5`."""

    field: bool = True
    """`field.nii.gz`: the whole map as displacements (LPS mm, intent 1007) on the fixed grid.

    For ITK, SimpleITK, ANTs and 3D Slicer."""
    warped_image: bool = True
    """`warped_image.nii.gz`: the moving image on the fixed image's grid."""
    inverse: bool = False
    """Map from moving to fixed points: `inverse.h5`, and `inverse_field.nii.gz` on the moving grid.

    Where the deformation folds there is no inverse; `infer.json` reports how far points are from
    where they started after the map and its inverse."""
    ras: bool = False
    """`field_ras.nii.gz`: the same in RAS mm, with intent 1006."""
    fsl: bool = False
    """`field_fsl.nii.gz`: a relative warp in FSL's mm coordinates, for `applywarp`."""
    learn2reg: bool = False
    """`disp_<fixed>_<moving>.nii.gz`: displacements in voxels, for Learn2Reg's evaluation.

    The name holds the patients' ids; numeric ids are padded to four digits."""


class Export(RegistrationExport):
    """Files written for each pair, besides `transform.h5`."""

    warped_labels: bool = False
    """Moving labels warped onto the fixed image's grid; written by evaluation."""
    points: bool = True
    """`mapped_points/<model>/<pair>.tsv`: the fixed points mapped into the moving image.

    Written by evaluation for pairs with points."""


Family = Literal["strict", "learn2reg", "muregpro"]


class Evaluation(Section):
    """Measurement of the results."""

    families: tuple[Family, ...] = ("strict",)
    """Families of metrics. `strict` (in mm, for each label of each pair) is always measured.

    `learn2reg` and `muregpro` add metrics exactly as the evaluation programs of these challenges
    compute them."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Value from which a voxel of a soft label counts as inside."""
    surface_metrics: bool = True
    """Whether to measure 95 % Hausdorff and mean surface distances of structures."""
    metrics: tuple[CustomMetric, ...] = ()
    """Metrics of your own, measured beside the strict family."""

    @field_validator("metrics")
    @classmethod
    def _names_differ(cls, metrics: tuple[CustomMetric, ...]) -> tuple[CustomMetric, ...]:
        counts = Counter(metric.column for metric in metrics)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            message = f"{twice[0]!r} is the name of two metrics"
            fix = "give their functions different names, which are their names in the tables"
            raise InvalidValueError(message, fix)
        return metrics


class Summary(Section):
    """Summary of the results over pairs."""

    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 2_000
    """No longer used (intervals are computed without resampling); accepted in older files."""
    seed: Annotated[int, Field(ge=0)] = 0
    """No longer used, like `bootstrap`."""
    reference: Name | None = None
    """Model, test-time option `<model>-<option>` or baseline with which the others are compared.

    Default: the first model."""


class Report(Section):
    """Content of the report."""

    title: str = ""
    """Title of the report; default: the name of the study."""
    examples: Annotated[int, Field(ge=0, le=20)] = 3
    """Pairs shown as images for each model: best, median, worst, ... (3: one of each)."""


class Tracking(Section):
    """MLflow tracking, where trainings and results are mirrored for comparison."""

    uri: Address | None = None
    """MLflow tracking address; default: a SQLite database in the folder of the study's results.

    Give the login of a server in the environment variables MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD. A login in the address works, too, but can be read in this file;
    output shows it as `***`."""
    experiment: Name | None = None
    """MLflow experiment; default: the name of the study."""
    timeout_s: Positive = 10.0
    """Longest total time in s that a training may lose to the tracking server."""

    @field_validator("uri")
    @classmethod
    def _address_can_work(cls, uri: str | None) -> str | None:
        fault = None if uri is None else addresses.fault(uri)
        if fault is not None:
            raise InvalidValueError(*fault)
        return uri


class Runtime(Section):
    """Computing resources; they do not change what is computed."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of training and registration; `auto` uses a GPU if there is one."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of a training or registration; equal numbers give bit-equal results on CPUs."""
    devices: Annotated[int, Field(ge=1)] = 1
    """GPUs on each node that share every batch of a training; on CPUs, number of processes.

    Steps are the same for any number, except for rounding. The total number of GPUs must divide
    `training.batch` / `training.accumulate`."""
    nodes: Annotated[int, Field(ge=1)] = 1
    """Nodes of a Slurm cluster for one training."""
    execution: Literal["eager", "compiled"] = "eager"
    """Execution of networks in training; `compiled` uses `torch.compile`, on GPUs with CUDA graphs.

    Compilation takes minutes before the first step. Rounding differs: results are not bit-equal to
    those of `eager`."""
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    """Memory layout of convolutions on a GPU; which one is faster depends on network and GPU.

    CPUs always use `channels_last`."""
    checkpoint_s: Positive = 120.0
    """Seconds between two checkpoints."""
    log_every: Annotated[int, Field(ge=1)] = 50
    """Steps between two log lines."""
    margin_s: Annotated[float, Field(ge=0)] = 180.0
    """Seconds before the time limit of a cluster job at which a training saves and stops.

    It resumes from the checkpoint when the job is restarted."""
