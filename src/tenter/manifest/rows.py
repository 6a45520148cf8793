"""Files with the rows of a job's pairs, so that no job reads the whole manifest.

A run writes them before its first job, two for each chunk: `<chunk>.json` with all columns, and
`<chunk>.images.json` without labels and points, for stages that must not have access to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tenter import files
from tenter.errors import DataError
from tenter.records import Fault, ImagePair, Pair

IMAGES = ("patients", "moving", "fixed", "initial_transform", "set", "fold")
"""Attributes of a pair that stages without access to labels may read."""

LABELS = ("moving_labels", "fixed_labels")
POINTS = ("moving_points", "fixed_points")

COMPARED = {
    "prepare_images": IMAGES,
    "prepare_labels": LABELS,
    "infer": (),
    "baseline": (),
    "evaluate": (*IMAGES, *LABELS, *POINTS),
}
"""Attributes of a pair that make a job of a stage stale if they change, besides the pair's id."""

COHORT = "cohort"
"""Name of the file with the images of all pairs, which `plan` reads."""

REMEDY = "run the same snakemake command again, which writes it anew"
_PATHS = frozenset({"moving", "fixed", "initial_transform", *LABELS, *POINTS})
_KEYS: dict[str, files.Kind] = {"folder": str, "pairs": list}
_OF_PAIR: dict[str, files.Kind] = {
    "id": str, "patients": list, "moving": str, "fixed": str, "set": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RowFiles:
    """The row files of a study.

    Attributes:
        root: folder of the files.
        base: the manifest's folder.
        chunks: chunk to its pairs.
    """

    root: Path
    base: Path
    chunks: Mapping[str, Sequence[Pair]]

    def path(self, chunk: str, stage: str) -> Path:
        """The file that a stage reads for a chunk."""
        full = bool({*LABELS, *POINTS} & set(COMPARED[stage]))
        return self.root / (f"{chunk}.json" if full else f"{chunk}.images.json")

    @property
    def cohort(self) -> Path:
        """The file with the images of all pairs."""
        return self.root / f"{COHORT}.images.json"

    def digest(self, chunk: str, stage: str) -> str:
        """Short fingerprint of what a stage's job takes from a chunk's rows."""
        values = [[pair.id, compared(pair, self.base, stage)] for pair in self.chunks[chunk]]
        return files.digest(values)[:16]

    def write(self) -> None:
        """Write every file whose content changes, and remove those of other chunks."""
        everyone = sorted(
            (pair for pairs in self.chunks.values() for pair in pairs), key=lambda pair: pair.id
        )
        texts = {self.cohort: text([pair.images() for pair in everyone], self.base)}
        for chunk, pairs in self.chunks.items():
            texts[self.path(chunk, "evaluate")] = text(pairs, self.base)
            images = [pair.images() for pair in pairs]
            texts[self.path(chunk, "infer")] = text(images, self.base)
        for path in set(self.root.glob("*.json")) - texts.keys():
            files.remove(path)
        with files.flushed_together():
            for path, content in texts.items():
                if not path.is_file() or path.read_bytes() != content.encode():
                    files.write_text(path, content)


def compared(pair: ImagePair, base: Path, stage: str) -> dict[str, object]:
    """The values of a pair that make a job of `stage` stale; empty cells are left out.

    Args:
        pair: the pair.
        base: the manifest's folder; paths are relative to it, so that both can be moved.
        stage: one of `COMPARED`.
    """
    values = {name: getattr(pair, name) for name in COMPARED[stage]}
    return {
        name: os.path.relpath(value, base) if isinstance(value, Path) else value
        for name, value in values.items()
        if value is not None
    }


def text(pairs: Iterable[ImagePair], base: Path) -> str:
    """Content of a row file. The stratum is left out, since it only affects folds."""
    return files.canonical({"folder": str(base), "pairs": [_values(pair) for pair in pairs]}) + "\n"


def read_images(path: Path) -> tuple[ImagePair, ...]:
    """The pairs of a row file without their labels and points, whatever the file holds.

    Raises:
        DataError: the file cannot be read or is damaged.
    """
    return tuple(pair.images() for pair in read(path))


def read(path: Path) -> tuple[Pair, ...]:
    """The pairs of a row file; without labels and points if the file is one of images.

    Raises:
        DataError: the file cannot be read or is damaged.
    """
    return tuple(_pair(path, values) for values in _content(path)["pairs"])


def base(path: Path) -> Path:
    """The manifest's folder, as a row file names it.

    Raises:
        DataError: the file cannot be read or is damaged.
    """
    return Path(_content(path)["folder"])


def _content(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise DataError(Fault(str(path), "does not exist", REMEDY))
    return files.read_object(path, _KEYS, REMEDY)


def _pair(path: Path, values: Any) -> Pair:  # noqa: ANN401 - any JSON value
    files.require_keys(path, values, _OF_PAIR, REMEDY)
    known = {field.name for field in fields(Pair)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise files.damaged(path, f"names the unknown column {unknown[0]!r}", REMEDY)
    content = {name: Path(value) if name in _PATHS else value for name, value in values.items()}
    return Pair(**(content | {"patients": tuple(values["patients"])}))


def _values(pair: ImagePair) -> dict[str, object]:
    values = {field.name: getattr(pair, field.name) for field in fields(pair)}
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in values.items()
        if value is not None and name not in {"row", "fixed_row", "stratum"}
    }
