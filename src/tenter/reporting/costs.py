"""What registration costs by each model and test-time option, beside what the option changed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tenter.reporting import words
from tenter.reporting.headline import headline
from tenter.reporting.page import Block, Column, Section, Table
from tenter.reporting.statistics import Line

_TEXT = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the registration of one pair took.

    Attributes:
        members: networks that answered.
        poses: further poses in which each was shown the pair.
        steps: of refinement; 0 without.
        refused: whether refinement came to no number, so that the networks' own field stands.
        seconds: from reading the prepared pair to its whole map; None where it was not recorded.
        device: where it ran; empty where it was not recorded.
    """

    members: int
    poses: int = 0
    steps: int = 0
    refused: bool = False
    seconds: float | None = None
    device: str = ""


def cost(said: Mapping[str, Any]) -> Cost:
    """What a pair's `infer.json` tells; what it does not tell, as of earlier versions, is left open."""
    option = _object(said, "test_time")
    refine = _object(option, "refine")
    models, device = said.get("models"), said.get("device")
    return Cost(
        members=len(models) if isinstance(models, list) else 0,
        poses=int(_number(option, "poses") or 0),
        steps=int(_number(refine, "steps") or 0),
        refused=refine.get("failed_at") is not None,
        seconds=_number(_object(said, "seconds"), "network"),
        device=device if isinstance(device, str) else "",
    )


def _object(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def _number(said: Mapping[str, Any], name: str) -> float | None:
    value = said.get(name)
    return float(value) if isinstance(value, int | float) else None


def section(
    costs: Mapping[tuple[str, str], Sequence[Cost]],
    lines: Sequence[Line],
    models: Sequence[str],
    options: Mapping[str, str],
    kinds: Mapping[str, str],
) -> Section | None:
    """A table for each set of pairs; None where nothing is known.

    Args:
        costs: of each pair, by set and model.
        lines: of `summary.tsv`.
        models: names, in the order of the configuration.
        options: test-time options among them, each with the model it registers by.
        kinds: sets of pairs and what they are called, in their order.
    """
    found = {kind: heading for kind, heading in kinds.items() if any(key[0] == kind for key in costs)}
    blocks = []
    for kind, heading in found.items():
        own = {model: costs[kind, model] for model in models if costs.get((kind, model))}
        table = _table(own, [line for line in lines if line.set == kind], options, kind)
        blocks.append(Block(heading if len(found) > 1 else "", tables=(table,)))
    return Section("costs", "What registration costs", tuple(blocks)) if blocks else None


def _table(
    costs: Mapping[str, Sequence[Cost]], lines: Sequence[Line], options: Mapping[str, str], kind: str
) -> Table:
    changed = {model: _changes(lines, model, options.get(model), kind) for model in costs}
    measures = list(dict.fromkeys(name for changes in changed.values() for name in changes))
    columns = [Column("Model", _TEXT), *map(Column, ("pairs", "members", "poses", "steps", "seconds a pair"))]
    columns += [Column("on", _TEXT)]
    columns += [Column(name, group="change of the median against the model alone") for name in measures]
    rows = [
        (*_row(model, own), *(changed[model].get(name, words.NONE) for name in measures))
        for model, own in costs.items()
    ]
    note = (
        "Members: networks whose answers are averaged. Poses: further ones in which each was shown the pair. "
        "Steps: of each pair's refinement. Seconds: median over pairs, from reading the prepared images to "
        "the whole map, files not counted; they depend on the machine. Change: median by the option less "
        "median by its model; intervals stand among the models compared."
    )
    return Table("Cost of a pair", tuple(columns), tuple(rows), note + _refused(costs))


def _row(model: str, own: Sequence[Cost]) -> tuple[str, ...]:
    seconds = [item.seconds for item in own if item.seconds is not None]
    return (
        model,
        str(len(own)),
        _one([item.members for item in own]),
        _one([item.poses for item in own]),
        _one([item.steps for item in own]),
        f"{statistics.median(seconds):.3g}" if seconds else words.NONE,
        words.listed(sorted({item.device for item in own} - {""})) or words.NONE,
    )


def _one(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _changes(lines: Sequence[Line], model: str, plain: str | None, kind: str) -> dict[str, str]:
    """How an option's medians differ from its model's, by measure; of a model alone nothing."""
    if plain is None:
        return {}
    before = {(line.role, line.metric): line.after.median for line in headline(lines, plain, kind)}
    found = {}
    for line in headline(lines, model, kind):
        first, then = before.get((line.role, line.metric)), line.after.median
        if first is not None and then is not None and math.isfinite(then - first):
            finer = replace(line.definition, decimals=line.definition.decimals + 1)
            found[line.definition.axis] = words.number(then - first, finer, unit=False, sign=True)
    return found


def _refused(costs: Mapping[str, Sequence[Cost]]) -> str:
    counts = {model: sum(item.refused for item in own) for model, own in costs.items()}
    said = [f"{words.share(count, len(costs[model]))} by {model}" for model, count in counts.items() if count]
    told = " Pairs whose refinement came to no number, so that the networks' field stands: "
    return f"{told}{words.listed(said)}." if said else ""
