"""Files generated from the types of the configuration: schemas and config/README.md.

Run as a module it rewrites the committed files; with `--check` it lists those out of date.
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tenter.config import kinds
from tenter.config.study import Config

MANIFEST_COLUMNS = {
    "pair": "Id of the pair: letters, digits, `_` and `-`, at most 64.",
    "patient": "Id of the patient, in the same form. No patient is in two folds. "
    "`A--B` if the moving image is of patient A and the fixed image of patient B.",
    "moving_image": "Image to be warped, such as MR: a file, or the folder of a DICOM series. "
    "Path relative to the table's folder, or absolute.",
    "fixed_image": "Image to register to, such as ultrasound.",
    "moving_labels": "Labels on the moving image's grid: an integer map, or a 4-D stack with a "
    "channel for each label.",
    "fixed_labels": "The same labels on the fixed image's grid.",
    "moving_points": "Points in the moving image, matched by name: TSV, CSV, Slicer's .fcsv or "
    ".mrk.json.",
    "fixed_points": "The same points in the fixed image, matched by name.",
    "initial_transform": "ITK transform from fixed to moving points, for `plan.alignment: file`.",
    "set": "`cv` (default): cross-validated; `train`: always used for training; `test`: never.",
    "fold": "Fold chosen by the user, a whole number; for every `cv` pair or for none.",
}
SUBJECT_COLUMNS = {
    "subject": "Id of the subject: letters, digits, `_` and `-`, at most 31. "
    "The pair `A--B` registers A (moving) to B (fixed).",
    "patient": "Id of the patient. No patient is in two folds.",
    "image": "Image of the subject.",
    "labels": "Labels on the image's grid.",
    "points": "Points, matched by name with those of other subjects.",
    "group": "Group for `pairing.groups` and `pairing.forward`, such as a modality.",
    "set": "`cv` (default): cross-validated; `train`: always used for training; `test`: never.",
    "fold": "Fold chosen by the user, a whole number; for every `cv` subject or for none.",
}
REQUIRED = ("pair", "patient", "moving_image", "fixed_image")
SUBJECT_REQUIRED = ("subject", "patient", "image")


def documents() -> dict[str, str]:
    """The generated files: path below the repository to content."""
    return {
        "workflow/schemas/config.schema.json": _json(Config.model_json_schema()),
        "workflow/schemas/manifest.schema.json": _json(_manifest_schema()),
        "config/README.md": _readme(),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _manifest_schema() -> dict[str, object]:
    kinds = (
        ("One row of a manifest of pairs", MANIFEST_COLUMNS, REQUIRED),
        ("One row of a manifest of subjects", SUBJECT_COLUMNS, SUBJECT_REQUIRED),
    )
    rows = [
        {
            "title": title,
            "type": "object",
            "properties": {
                name: {"type": "string", "description": text} for name, text in columns.items()
            },
            "required": list(required),
        }
        for title, columns, required in kinds
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One row of a manifest",
        "anyOf": rows,
    }


def _columns(columns: Mapping[str, str], required: Collection[str]) -> list[str]:
    rows = [
        f"| `{name}` | {'yes' if name in required else ''} | {text} |"
        for name, text in columns.items()
    ]
    return ["| column | needed | meaning |", "|---|---|---|", *rows, ""]


def _readme() -> str:
    lines = [
        "# Configuration",
        "",
        "Every key of a study's configuration, with its type, default and meaning. `make docs`",
        "generates this page from the code, and a test compares both. Unknown keys are errors.",
        "Paths are relative to the configuration file, except `results`, which is relative to the",
        "working directory. In paths `~`, `$NAME` and `${NAME}` are expanded (a variable that is",
        "not set is an error; `$$` is a dollar sign); all other characters, such as blanks,",
        "quotes, `#` and braces, are used as they are.",
        "",
        "`demo.yaml` is a simulated cohort, `mrus.yaml` the MR-ultrasound cohort of label-reg,",
        "`hippocampus.yaml` a cohort of subjects that are paired with one another.",
        "",
        "## Manifest",
        "",
        "A TSV or CSV file with one row for each pair,",
        "as [spreadsheets](../docs/reference/input-files.md) write it.",
        "Other columns are ignored, except one that is named as `stratum`.",
        "Paths follow the rules above.",
        "",
        *_columns(MANIFEST_COLUMNS, REQUIRED),
        "Or one row for each subject, to be paired by the rules of `pairing`:",
        "",
        *_columns(SUBJECT_COLUMNS, SUBJECT_REQUIRED),
    ]
    for title, section in _sections("", Config):
        text = " ".join((section.__doc__ or "").split())
        lines += [
            f"## {title}",
            "",
            text,
            "",
            "| key | type | default | meaning |",
            "|---|---|---|---|",
        ]
        lines += [_row(name, info) for name, info in section.model_fields.items()]
        lines.append("")
    return "\n".join(lines)


def _sections(prefix: str, section: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield (f"`{prefix}`" if prefix else "The study"), section
    for name, info in section.model_fields.items():
        options = [leaf for leaf in _leaves(info.annotation) if _is_section(leaf)]
        for option in options:
            key = f"{prefix}.{name}".lstrip(".")
            key += ".<name>" if typing.get_origin(info.annotation) is dict else ""
            suffix = (
                f" ({kinds.tag(option)}: {', '.join(kinds.tags(option)) or 'a reference'})"
                if len(options) > 1
                else ""
            )
            inner = list(_sections(key, option))
            yield f"`{key}`{suffix}", option
            yield from inner[1:]


def _row(name: str, info: FieldInfo) -> str:
    default = "required" if info.is_required() else _default(info)
    meaning = " ".join((info.description or "").split())
    kind = _kind(info.annotation).replace("|", "\\|")
    return f"| `{name}` | {kind}{_range(info)} | {default} | {meaning} |"


def _default(info: FieldInfo) -> str:
    value = info.default
    if info.default_factory_takes_validated_data:
        return "depends"
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, tuple):
        inner = [element for element in value if not isinstance(element, BaseModel)]
        return f"`{list(inner)}`" if len(inner) == len(value) else "see below"
    return "" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _range(info: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    parts = [
        f"{sign} {getattr(bound, key)}"
        for bound in info.metadata
        for key, sign in signs.items()
        if getattr(bound, key, None) is not None
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _kind(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin in {typing.Union, UnionType}:
        return " or ".join(
            dict.fromkeys(_kind(argument) for argument in arguments if argument is not NoneType)
        )
    if origin is tuple:
        kind = _kind(arguments[0])
        return f"list of {kind}" if arguments[-1] is Ellipsis else f"{len(arguments)} of {kind}"
    if origin is dict:
        return f"name to {_kind(arguments[1])}"
    names = {str: "text", Path: "path", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, "section")


def _leaves(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    arguments = typing.get_args(annotation)
    if not arguments or _is_section(annotation):
        yield annotation
    for argument in arguments:
        yield from _leaves(argument)


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def main(arguments: list[str]) -> int:
    """Write the generated files below the working directory, or `--check` them."""
    stale = [
        path
        for path, text in documents().items()
        if not Path(path).is_file() or Path(path).read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if "--check" not in arguments:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(documents()[path], encoding="utf-8")
        sys.stdout.write(f"{'out of date' if '--check' in arguments else 'written'}: {path}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
