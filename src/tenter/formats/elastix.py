"""Transform parameter files of elastix: linear transforms, and chains of them, as ITK transforms.

They map fixed points to moving points in LPS mm, as ITK transforms do. A file may name another one
that is applied before it (InitialTransformParameterFileName). Source: the elastix manual, section
2.6, and elastix 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from tenter.formats.headers import refusal

MARK = re.compile(rb'^[ \t]*\([ \t]*Transform[ \t]+"', re.MULTILINE)
ENTRY = re.compile(r"^[ \t]*\([ \t]*(\w+)[ \t]+(.*?)[ \t]*\)", re.MULTILINE)
LENGTHS = {
    "TranslationTransform": 3,
    "EulerTransform": 6,
    "SimilarityTransform": 7,
    "AffineTransform": 12,
}
"""Supported kinds, and their numbers of parameters."""

FIRST = ("InitialTransformParameterFileName", "InitialTransformParametersFileName")
LONGEST_CHAIN = 20
AS_FIELD = (
    "write it as a displacement field (transformix -def all -tp {name} -out FOLDER), and give the "
    "deformationField file in FOLDER"
)


def is_parameter_file(content: bytes) -> bool:
    """Whether the beginning of a file shows it to be a parameter file of elastix."""
    return MARK.search(content) is not None


def read_chain(path: Path) -> list[sitk.Transform]:
    """The transforms of a file and of the files it names; the last one is applied first.

    Raises:
        DataError: a transform is missing, not linear, or added instead of composed.
    """
    chain: list[sitk.Transform] = []
    following: Path | None = path
    while following is not None:
        if len(chain) == LONGEST_CHAIN:
            raise refusal(
                path, f"names more than {LONGEST_CHAIN} files, one after the other", "correct it"
            )
        entries = _entries(following)
        chain.append(_transform(following, entries))
        following = _initial(following, entries)
    return chain


def _entries(path: Path) -> dict[str, list[str]]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return {name: _values(values) for name, values in ENTRY.findall(text)}


def _values(values: str) -> list[str]:
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([^\s"]+)', values)]


def _initial(path: Path, entries: dict[str, list[str]]) -> Path | None:
    name = next((entries[key][0] for key in FIRST if entries.get(key)), "NoInitialTransform")
    if name == "NoInitialTransform":
        return None
    if entries.get("HowToCombineTransforms", ["Compose"]) != ["Compose"]:
        message = "is added to another transform (HowToCombineTransforms), not composed with it"
        raise refusal(path, message, AS_FIELD.format(name=path.name))
    # Names are mostly absolute paths on the machine where elastix ran.
    for candidate in (path.parent / name, path.parent / Path(name).name):
        if candidate.is_file():
            return candidate
    raise refusal(
        path, f"needs {Path(name).name}, its initial transform", "copy that file beside it"
    )


def _transform(path: Path, entries: dict[str, list[str]]) -> sitk.Transform:
    kind = entries.get("Transform", [""])[0]
    if kind not in LENGTHS:
        message = f"is a transform of elastix that is not linear ({kind or 'unknown'})"
        raise refusal(path, message, AS_FIELD.format(name=path.name))
    for side in ("FixedImageDimension", "MovingImageDimension"):
        if entries.get(side, ["3"]) != ["3"]:
            raise refusal(path, f"is a {entries[side][0]}-D transform", "give a 3-D one")
    _require_directions(path, entries)
    parameters = _numbers(path, entries, "TransformParameters", LENGTHS[kind])
    if kind == "TranslationTransform":
        return sitk.TranslationTransform(3, parameters)
    centre = _numbers(path, entries, "CenterOfRotationPoint", 3)
    if kind == "EulerTransform":
        euler = sitk.Euler3DTransform()
        euler.SetComputeZYX(entries.get("ComputeZYX", ["false"]) == ["true"])
        return _with_centre(euler, centre, parameters)
    affine = sitk.AffineTransform(3) if kind == "AffineTransform" else sitk.Similarity3DTransform()
    return _with_centre(affine, centre, parameters)


def _with_centre(
    transform: Any,  # noqa: ANN401 - SimpleITK has no types
    centre: Sequence[float],
    parameters: Sequence[float],
) -> sitk.Transform:
    """Set the centre and the parameters of an ITK transform that has a centre."""
    transform.SetCenter(centre)
    transform.SetParameters(parameters)
    placed: sitk.Transform = transform
    return placed


def _require_directions(path: Path, entries: dict[str, list[str]]) -> None:
    """Refuse a transform that ignores image directions, unless they are the identity."""
    upright = "".join(entries.get("Direction", [])) == "100010001"
    if entries.get("UseDirectionCosines") != ["true"] and not upright:
        message = "does not use the directions of its images (UseDirectionCosines)"
        raise refusal(path, message, 'register again with (UseDirectionCosines "true")')


def _numbers(path: Path, entries: dict[str, list[str]], key: str, count: int) -> list[float]:
    values = entries.get(key, [])
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        message = f"has {len(values)} words in {key}, not {count} numbers"
        raise refusal(path, message, "copy it again")
    return numbers
