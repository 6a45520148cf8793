"""The cost of registration by each model and test-time option, with the effect of the option."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tenter import files
from tenter.records import MetricRow
from tenter.reporting import words
from tenter.reporting.headline import headline
from tenter.reporting.page import Block, Column, Section, Table
from tenter.result_files import ResultFiles
from tenter.statistics.lines import SummaryLine

_TEXT = False

REREGISTER = (
    "delete the pair's folder and its chunk's table in fields/tables, and run the workflow again"
)
"""What to do about a damaged record of a registration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of registering one pair.

    Attributes:
        members: number of networks whose predictions were averaged.
        poses: number of additional poses in which each network registered the pair.
        steps: of refinement; 0 without refinement.
        refused: whether refinement ended in NaN or infinity, so that the networks' field was kept.
        seconds: from reading the prepared pair to its complete map; None if not recorded.
        device: where it ran; empty if not recorded.
    """

    members: int
    poses: int = 0
    steps: int = 0
    refused: bool = False
    seconds: float | None = None
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCosts:
    """What a model's registrations of a set of pairs cost.

    Attributes:
        model: name of the model, or of a test-time option.
        set: `cv` or `test`.
        pairs: the cost of each pair; at least one.
    """

    model: str
    set: str
    pairs: tuple[Cost, ...]


def read(
    rows: Sequence[MetricRow], paths: ResultFiles, models: Sequence[str]
) -> tuple[ModelCosts, ...]:
    """The costs of measured pairs, where their files record them, by set and model.

    Args:
        rows: figures of the pairs.
        paths: of the registered pairs' records.
        models: in the order of the result.

    Raises:
        DataError: a record is damaged.
    """
    costs: dict[tuple[str, str], list[Cost]] = {}
    for kind, model, pair in dict.fromkeys((row.set, row.model, row.pair) for row in rows):
        path = paths.sidecar(model, pair)
        if path.is_file():
            costs.setdefault((model, kind), []).append(
                cost(files.read_object(path, {}, REREGISTER))
            )
    ordered = sorted(
        (key for key in costs if key[0] in models), key=lambda key: models.index(key[0])
    )
    return tuple(
        ModelCosts(model=model, set=kind, pairs=tuple(costs[model, kind]))
        for model, kind in ordered
    )


def cost(sidecar: Mapping[str, Any]) -> Cost:
    """The cost recorded in a pair's `infer.json`; what older files lack stays empty."""
    option = _object(sidecar, "test_time")
    refine = _object(option, "refine")
    seconds = _object(sidecar, "seconds")
    models, device = sidecar.get("models"), sidecar.get("device")
    return Cost(
        members=len(models) if isinstance(models, list) else 0,
        poses=int(_number(option, "poses") or 0),
        steps=int(_number(refine, "steps") or 0),
        refused=refine.get("failed_at") is not None,
        seconds=_number(seconds, "network" if "network" in seconds else "method"),
        device=device if isinstance(device, str) else "",
    )


def _object(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _number(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else None


def section(
    costs: Sequence[ModelCosts],
    lines: Sequence[SummaryLine],
    options: Mapping[str, str],
    kinds: Mapping[str, str],
) -> Section | None:
    """A table for each set of pairs; None if no cost is known.

    Args:
        costs: of each set and model, models in the order of the configuration.
        lines: of `summary.tsv`.
        options: test-time options among the models, each with the model that it uses.
        kinds: sets of pairs with their headings, in order.
    """
    known = {entry.set for entry in costs}
    headings = {kind: heading for kind, heading in kinds.items() if kind in known}
    blocks = []
    for kind, heading in headings.items():
        of_set = [entry for entry in costs if entry.set == kind]
        table = _table(of_set, [line for line in lines if line.set == kind], options)
        blocks.append(Block(heading if len(headings) > 1 else "", tables=(table,)))
    return Section("costs", "What registration costs", tuple(blocks)) if blocks else None


def _table(
    costs: Sequence[ModelCosts], lines: Sequence[SummaryLine], options: Mapping[str, str]
) -> Table:
    """The costs of one set of pairs."""
    changed = {
        entry.model: _changes(lines, entry.model, options.get(entry.model), entry.set)
        for entry in costs
    }
    measures = list(dict.fromkeys(name for changes in changed.values() for name in changes))
    columns = [
        Column("Model", _TEXT),
        *map(Column, ("pairs", "members", "poses", "steps", "seconds a pair")),
        Column("on", _TEXT),
        *(Column(name, group="change of the median against the model alone") for name in measures),
    ]
    rows = [
        (*_row(entry), *(changed[entry.model].get(name, words.NONE) for name in measures))
        for entry in costs
    ]
    return Table("Cost of a pair", tuple(columns), tuple(rows), _NOTE + _refused(costs))


_NOTE = (
    "Members: networks whose predictions are averaged. Poses: additional poses in which each "
    "network registers the pair. Steps: of each pair's refinement. Seconds: median over pairs, "
    "from reading the prepared images to the complete map, writing files excluded; they depend "
    "on the machine. Change: the option's median minus its model's median; the comparison of "
    "models gives intervals."
)


def _row(entry: ModelCosts) -> tuple[str, ...]:
    costs = entry.pairs
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    return (
        entry.model,
        str(len(costs)),
        _one([cost.members for cost in costs]),
        _one([cost.poses for cost in costs]),
        _one([cost.steps for cost in costs]),
        f"{statistics.median(seconds):.3g}" if seconds else words.NONE,
        words.listed(sorted({cost.device for cost in costs} - {""})) or words.NONE,
    )


def _one(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _changes(
    lines: Sequence[SummaryLine], model: str, plain: str | None, kind: str
) -> dict[str, str]:
    """How an option's medians differ from its model's, by measure; empty for a model itself."""
    if plain is None:
        return {}
    plain_medians = {
        (line.role, line.metric): line.after.median for line in headline(lines, plain, kind)
    }
    changes = {}
    for line in headline(lines, model, kind):
        plain_median, median = plain_medians.get((line.role, line.metric)), line.after.median
        if plain_median is not None and median is not None and math.isfinite(median - plain_median):
            finer = replace(line.definition, decimals=line.definition.decimals + 1)
            changes[line.definition.axis] = words.number(
                median - plain_median, finer, unit=False, sign=True
            )
    return changes


def _refused(costs: Sequence[ModelCosts]) -> str:
    counts = [(entry, sum(cost.refused for cost in entry.pairs)) for entry in costs]
    shares = [
        f"{words.share(count, len(entry.pairs))} by {entry.model}"
        for entry, count in counts
        if count
    ]
    lead = (
        " Pairs whose refinement ended in NaN or infinity, so that the networks' field was kept: "
    )
    return f"{lead}{words.listed(shares)}." if shares else ""
