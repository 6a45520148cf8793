"""A finished model on disk: `model.safetensors` (weights) and `model.json` (its description)."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from tenter import config, files, finished, model_code, networks, plugins
from tenter.config import custom
from tenter.errors import CheckpointError
from tenter.finished import DESCRIPTION, FORMAT, WEIGHTS
from tenter.history import RETRAIN
from tenter.plugins import Trusted
from tenter.records import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping


NOWHERE = Trusted()
"""No custom code may be imported."""

_NETWORK: TypeAdapter[config.Network] = TypeAdapter(config.Network)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network with its weights, ready to register images.

    Attributes:
        network: in evaluation mode, on the requested device; maps (moving, fixed) to a field in
            voxels.
        folder: where it was read from.
        fold: the fold that it was not trained on, or `all`.
        sha256: of the weights' file.
        description: what `model.json` holds (plan, settings, ids, provenance).
    """

    network: nn.Module
    folder: Path
    fold: str
    sha256: str
    description: dict[str, Any]


def save(folder: Path, weights: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write a model's weights, then its description with their sha256; each file atomically.

    Args:
        folder: created if absent.
        weights: the network's state, on any device.
        description: JSON values; must hold `fold`, `network`, `channels` and `plan` for `load`.

    Raises:
        OutputError: the disk is full, or the folder is not writable.
    """
    cpu_weights = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    path = folder / WEIGHTS
    with files.written_whole(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(cpu_weights))
    content = {"format": FORMAT, **description, "weights_sha256": files.sha256(path)}
    files.write_json(folder / DESCRIPTION, content)


def code_of(settings: config.TrainSettings) -> dict[str, dict[str, dict[str, str]]]:
    """What `model.json` says of custom code: hashes of its files, by reference; {} without any."""
    references = [code.reference for _, code in custom.custom_code(settings)]
    hashes = {each.portable: model_code.code_hashes(each) for each in references}
    return {model_code.CODE: hashes} if hashes else {}


def copy_code(folder: Path, network: config.Network) -> None:
    """Keep the files of a custom network with its model; those of a package are not copied.

    Args:
        folder: of the fold.
        network: its network.

    Raises:
        OutputError: the disk is full, or the folder is not writable.
    """
    shutil.rmtree(folder / model_code.CODE, ignore_errors=True)
    if isinstance(network, config.CustomNetwork) and network.reference.is_file:
        for name, path in plugins.sources(network.reference).items():
            with files.written_whole(folder / model_code.CODE / name) as temporary:
                temporary.write_bytes(path.read_bytes())


def require_identity(folder: Path, description: Mapping[str, Any]) -> None:
    """Reject a description without the identity of the model's inputs.

    Raises:
        DataError: naming the missing key.
    """
    path = folder / DESCRIPTION
    files.require_keys(path, dict(description), {"identity": dict}, RETRAIN)
    keys: dict[str, files.Kind] = {"settings": str, "cohort": str, "code": str}
    files.require_keys(path, description["identity"], keys, RETRAIN)


def weights(folder: Path) -> dict[str, Tensor]:
    """Read a model's weights after checking them against the sha256 of its description.

    Raises:
        CheckpointError: the weights are absent, damaged, or do not match the description.
    """
    path = folder / WEIGHTS
    expected = finished.describe(folder)["weights_sha256"]
    if not _is_whole(path, expected):
        message = f"absent or damaged (sha256 is not {str(expected)[:12]}...)"
        raise CheckpointError(Fault(str(path), message, "train the fold again"))
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            Fault(str(path), f"cannot be read ({error})", "train the fold again")
        ) from error


def _is_whole(path: Path, expected: str) -> bool:
    try:
        return files.sha256(path) == expected
    except FileNotFoundError:
        return False


def assign(network: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Load weights into a network; names and shapes must match exactly.

    Raises:
        CheckpointError: naming the weights that are missing, unknown or of another shape.
    """
    expected = network.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unknown = sorted(state.keys() - expected.keys())
    reshaped = sorted(
        f"{name} {tuple(state[name].shape)} for {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    )
    mismatches = {"missing": missing, "unknown": unknown, "of another shape": reshaped}
    summary = "; ".join(
        f"{kind}: {', '.join(names[:8])}" for kind, names in mismatches.items() if names
    )
    if summary:
        message = f"its weights do not fit the configured network ({summary})"
        fix = "name a model of the same network, or configure that model's network"
        raise CheckpointError(Fault(str(source), message, fix))
    network.load_state_dict(dict(state))


def _rebuilt(folder: Path, description: Mapping[str, Any], trusted: Trusted) -> nn.Module:
    try:
        channels = description["channels"]
        network = _NETWORK.validate_python(description["network"])
        recorded = description.get(model_code.CODE, {})
        return networks.on_grid(
            model_code.usable_network(folder, network, recorded, trusted),
            (channels["moving"], channels["fixed"]),
            tuple(int(size) for size in description["plan"]["shape"]),
        )
    except (ValidationError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        message = f"does not describe a network ({reason})"
        raise CheckpointError(Fault(str(folder / DESCRIPTION), message, RETRAIN)) from error


def load(folder: Path, device: torch.device, trusted: Trusted = NOWHERE) -> LoadedModel:
    """Rebuild a finished fold's network from its description and weights; nothing is unpickled.

    Args:
        folder: of one fold, as the `train` stage wrote it.
        device: that the network is loaded to.
        trusted: where a custom network may be imported from; importing it runs its code.

    Raises:
        InputError: the network is custom code that no trusted place has, or that has changed.
        CheckpointError: a file is absent or damaged, or the weights do not fit the network.
    """
    description = finished.describe(folder)
    network = _rebuilt(folder, description, trusted)
    assign(network, weights(folder), folder / WEIGHTS)
    network.eval().requires_grad_(requires_grad=False).to(device)
    return LoadedModel(
        network, folder, str(description["fold"]), description["weights_sha256"], description
    )
