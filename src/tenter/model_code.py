"""The custom code that a finished model needs: what `model.json` records of it, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tenter import plugins
from tenter.config import CustomNetwork, Network
from tenter.errors import InputError
from tenter.records import Fault

CODE = "custom_code"
"""Key of the hashes of custom code in `model.json`, and the folder of the network's files."""


def code_hashes(reference: plugins.Reference) -> dict[str, str]:
    """Short hash of each file of custom code, as `model.json` records them.

    Raises:
        InputError: the code does not exist, or is not valid Python.
    """
    return {name: digest[:16] for name, digest in plugins.hashes(reference).items()}


def usable_network(
    folder: Path,
    network: Network,
    recorded: Mapping[str, Mapping[str, str]],
    trusted: plugins.Trusted,
) -> Network:
    """A fold's network; one of custom code with the path of its file. Nothing is imported.

    Args:
        folder: folder of the fold.
        network: as `model.json` describes it.
        recorded: hashes of its custom code, as recorded there.
        trusted: where custom code may be imported from.

    Raises:
        InputError: no trusted place has the code, or it differs from what the model needs.
    """
    if not isinstance(network, CustomNetwork):
        return network
    reference = network.reference
    copies = folder / CODE
    name = Path(reference.place).name if reference.is_file else reference.place.partition(".")[0]
    code = trusted.find(reference)
    if code is None:
        message = f"needs the network `{reference.text}`, which is not part of tenter"
        fix = (
            f"name the folder of {name} by `--plugins` (in a study: put it beside the "
            f"configuration); {copies} has it as it was at training, and using it runs it"
            if reference.is_file
            else f"install {name}, and name it by `--plugins`; using it runs its code"
        )
        raise InputError([Fault(str(folder), message, fix)])
    known, current = recorded.get(reference.text, {}), code_hashes(code)
    changed = [
        key
        for key in sorted(known.keys() | current)
        if known.get(key) != current.get(key) and not key.endswith(plugins.VERSION)
    ]
    if trusted.exact and changed:
        message = f"was trained with other code than that of {code.text}: {', '.join(changed)}"
        fix = f"use the code of the training, such as that in {copies}, or train the model again"
        raise InputError([Fault(str(folder), message, fix)])
    return network.model_copy(update={"name": code.text})
