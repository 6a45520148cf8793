"""docs/reference/features.md: what it says of tenter is so, and it is written as it says it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenter
from tenter import config
from tenter.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/reference"
PAGE = (FOLDER / "features.md").read_text(encoding="utf-8")
COLUMNS = ["feature", "tenter", "label-reg", "NiftyNet", "DeepReg", "MONAI", "VoxelMorph"]
SCHEMA = config.Config.model_json_schema()
LINK = r"\[[^\]]+\]\(([^)]+)\)"
Node = dict[str, Any]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows() -> list[list[str]]:
    """The tables of features, without their heads."""
    found: list[list[str]] = []
    inside = False
    for line in PAGE.splitlines():
        inside = line.startswith("|") and (inside or cells(line)[0] == "feature")
        if inside and cells(line) != COLUMNS and not set(line) <= set("|-"):
            found.append(cells(line))
    return found


ROWS = rows()


def ours(start: str) -> list[tuple[str, str]]:
    """Feature and cell of tenter, of the cells that begin so."""
    return [(row[0], row[1]) for row in ROWS if row[1].startswith(start)]


def spans() -> list[str]:
    return sorted({span for _, cell in ours("") for span in re.findall(r"`([^`]+)`", cell)})


def expanded(node: Node) -> Iterator[Node]:
    """The node and all that it may stand for, items of lists too."""
    if "$ref" in node:
        yield from expanded(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]])
        return
    yield node
    for other in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from expanded(other)
    if isinstance(node.get("items"), dict):
        yield from expanded(node["items"])


def below(nodes: list[Node], key: str) -> list[Node]:
    if key.startswith("<"):
        found = [inner for node in nodes for inner in node.get("patternProperties", {}).values()]
    else:
        found = [node["properties"][key] for node in nodes if key in node.get("properties", {})]
    return [each for node in found for each in expanded(node)]


def at(path: str) -> list[Node]:
    """What a key may hold; nothing where there is no such key."""
    nodes = list(expanded(SCHEMA))
    for key in path.split("."):
        nodes = below(nodes, key)
    return nodes


def allows(node: Node, value: object) -> bool:
    """Whether a value is one of its choices, or the name of one of its sections."""
    name = node.get("properties", {}).get("name", {})
    choices = [node.get("const"), *node.get("enum", ()), name.get("const"), *name.get("enum", ())]
    return value in choices if isinstance(value, str) else node.get("type") == "boolean"


def is_there(span: str) -> bool:
    """Whether tenter has the key, the choice, the command,
    the function or the file that is named.
    """
    if span.startswith("tenter."):
        return callable(getattr(tenter, span.removeprefix("tenter.").removesuffix("()"), None))
    if span.startswith("tenter "):
        return span.removeprefix("tenter ") in COMMANDS
    if span.endswith(".tsv"):
        return f"`{span}`" in (FOLDER / "results.md").read_text(encoding="utf-8")
    path, said, value = span.partition(": ")
    nodes = at(path)
    return any(allows(node, yaml.safe_load(value)) for node in nodes) if said else bool(nodes)


def test_there_are_features_of_every_kind() -> None:
    assert len(ROWS) > 100
    assert len(spans()) > 70
    assert len(ours("no")) > 15


def test_every_cell_has_a_word_of_the_legend() -> None:
    assert {len(row) for row in ROWS} == {len(COLUMNS)}
    rest = r"( \([^()]+\))?( \[\^\w+\])?"
    for feature, mine, *others, voxelmorph in ROWS:
        assert re.match(r"(yes|part|no)\b", mine), feature
        assert all(re.fullmatch(rf"(yes|part|no){rest}", cell) for cell in others), feature
        assert re.fullmatch(rf"(yes|part|no|TF){rest}", voxelmorph), feature


def test_no_feature_stands_twice() -> None:
    names = [row[0] for row in ROWS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("span", spans())
def test_what_it_names_of_tenter_is_there(span: str) -> None:
    assert is_there(span)


@pytest.mark.parametrize(
    "span",
    [
        "models.<m>.losses.labels: hausdorff",
        "models.<m>.losses.labels: bending",
        "models.<m>.network: voxelmorph",
        "models.<m>.network.output: dice",
        "models.<m>.training.optimiser",
        "runtime.device: tpu",
        "tenter visualise",
        "tenter.train()",
        "scores.tsv",
    ],
)
def test_what_is_not_there_would_be_noticed(span: str) -> None:
    assert not is_there(span)


def test_every_yes_of_tenter_says_where() -> None:
    assert [
        feature for feature, cell in ours("yes") if not re.search(rf"`[^`]+`|{LINK}", cell)
    ] == []


@pytest.mark.parametrize(
    "target", sorted({link for link in re.findall(LINK, PAGE) if "://" not in link})
)
def test_links_lead_somewhere(target: str) -> None:
    name, _, anchor = target.partition("#")
    text = (FOLDER / name).resolve().read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}


def test_notes_are_all_given_and_all_used() -> None:
    body, _, notes = PAGE.partition("## Sources")
    given = re.findall(r"^\[\^(\w+)\]: .*$", notes, re.MULTILINE)
    assert sorted(given) == sorted(set(re.findall(r"\[\^(\w+)\]", body)))


def test_the_version_of_monai_is_the_one_that_tests_compare_with() -> None:
    pinned = re.search(
        r"^monai==(\S+)$", (ROOT / "constraints/reproducible.txt").read_text(), re.MULTILINE
    )
    assert pinned is not None
    assert f"| {pinned[1]}, its [tutorials]" in PAGE


def test_the_readme_leads_to_it() -> None:
    assert "(docs/reference/features.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
