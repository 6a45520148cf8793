"""Points of 3D Slicer (`.fcsv`, `.mrk.json`) and of FreeSurfer's freeview (`.json`)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from typing import Any

from tenter.formats.point_lists import AXES, MM_PER_UNIT, SIGNS, PointList

SLICER_SPACES = {"0": "RAS", "1": "LPS"}


def fcsv(listed: PointList, text: str) -> None:
    """Read 3D Slicer's older format: comments with the space and columns, then rows."""
    lines = text.split("\n")
    comments: dict[str, str] = dict(
        re.findall(r"^#\s*(CoordinateSystem|columns)\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    )
    stated = comments.get("CoordinateSystem", "")
    space = SLICER_SPACES.get(stated, stated).upper()
    if space not in SIGNS:
        fix = (
            "write `# CoordinateSystem = RAS` (or LPS) into its header, "
            "or save it again in 3D Slicer"
        )
        message = "does not say whether it is in RAS or LPS"
        if space in {"2", "IJK"}:
            message, fix = "is in voxels (IJK)", "save it again in 3D Slicer, in RAS or LPS"
        listed.complain(message, fix, column="CoordinateSystem")
        return
    columns = [name.strip() for name in comments.get("columns", "").split(",")]
    missing = [name for name in (*AXES, "label") if name not in columns]
    for name in missing:
        listed.complain("is not among the columns", "save it again in 3D Slicer", column=name)
    if missing:
        return
    for row, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = next(csv.reader([line]))
        if len(cells) <= max(columns.index(name) for name in (*AXES, "label")):
            listed.complain("is cut short", "save the file again in 3D Slicer", row)
            continue
        named = dict(zip(columns, cells, strict=False))
        listed.add(
            named["label"].strip(), [named[axis].strip() for axis in AXES], (space, 1.0), row
        )


def markups(listed: PointList, text: str) -> None:
    """Read 3D Slicer's JSON format: the control points of all its lists."""
    try:
        content: Any = json.loads(text)
        if isinstance(content, dict) and content.get("data_type") == "fs_pointset":
            _freeview(listed, content)
            return
        lists = [(markup, markup.get("controlPoints", [])) for markup in content["markups"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        listed.complain("is not a markups file of 3D Slicer", "save the points again as .mrk.json")
        return
    for markup, controls in lists:
        space = str(markup.get("coordinateSystem")).upper()
        unit = str(markup.get("coordinateUnits", "mm"))
        if space not in SIGNS:
            listed.complain(
                "is neither RAS nor LPS",
                "save it again in 3D Slicer",
                column="coordinateSystem",
            )
        elif unit not in MM_PER_UNIT:
            listed.complain("is not mm, cm or m", "save it again in mm", column="coordinateUnits")
        elif not isinstance(controls, list) or not all(
            isinstance(markup, dict) for markup in controls
        ):
            listed.complain(
                "is not a list of points", "save it again in 3D Slicer", column="controlPoints"
            )
        else:
            _controls(listed, controls, (space, MM_PER_UNIT[unit]))


def _freeview(listed: PointList, content: dict[str, Any]) -> None:
    """Read FreeSurfer's JSON format, with points numbered in order."""
    if content.get("vox2ras") != "scanner_ras":
        fix = "save it in freeview as scanner RAS"
        listed.complain("is not in scanner RAS (FreeSurfer)", fix, column="vox2ras")
        return
    for number, point in enumerate(content["points"], start=1):
        cells = [str(point["coordinates"][axis]) for axis in AXES]
        listed.add(str(number), cells, ("RAS", 1.0), number)


def _controls(
    listed: PointList, controls: Sequence[dict[str, Any]], frame: tuple[str, float]
) -> None:
    for number, control in enumerate(controls, start=1):
        position = control.get("position")
        defined = control.get("positionStatus", "defined") == "defined"
        if not defined or not isinstance(position, list) or len(position) != 3:
            listed.complain("has no position", "place it or delete it", number, "position")
            continue
        listed.add(
            str(control.get("label", "")).strip(),
            [str(value) for value in position],
            frame,
            number,
        )
