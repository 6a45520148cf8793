"""Draw the floors of the package, and which room imports which, from its real imports.

    python tests/lint/floors.py            # writes docs/explanation/floors.svg
    python tests/lint/floors.py --check    # fails if the picture is not current

The order of floors is the first contract in pyproject.toml. An arrow that follows from others
(a imports b, b imports c: so does a) is left out.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs/explanation/floors.svg"
PACKAGE = "tenter"

Imports = Mapping[str, set[str]]
"""Room to the rooms that it imports."""

FLOOR, BOX, GAP, WIDTH, LETTER = 62, 26, 12, 1040, 8.0
"""Height of a floor and of a room's box, gap between boxes, width of the picture and of a letter;
in pixels."""

SWEEPS = 24
"""How often rooms are ordered, and moved, by what they are joined to."""

STYLE = """
  svg { background: #ffffff; font: 13px ui-monospace, SFMono-Regular, Menlo, monospace; }
  .floor { fill: #f3f5f8; }
  .room { fill: #ffffff; stroke: #344054; } .name { fill: #101828; text-anchor: middle; }
  .import { fill: none; stroke: #5b7fb4; stroke-width: 1.2; stroke-opacity: 0.75; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; }
    .floor { fill: #161b22; }
    .room { fill: #0d1117; stroke: #98a2b3; } .name { fill: #f0f6fc; }
    .import { stroke: #79a8e8; }
  }
"""


def floors(pyproject: str) -> list[list[str]]:
    """The rooms of each floor, the highest first, as the contract has them."""
    contracts = tomllib.loads(pyproject)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in layer.replace(":", "|").split("|")] for layer in layers]


def imports(package: str, rooms: Sequence[str]) -> Imports:
    """The rooms that each room imports directly."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    known: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        room = _room(module)
        for target in graph.find_modules_directly_imported_by(module):
            if room in known and _room(target) in known and _room(target) != room:
                known[room].add(_room(target))
    return known


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def reduced(direct: Imports) -> Imports:
    """Without the imports that follow from others: the transitive reduction of a graph without
    circles.
    """
    reach: dict[str, set[str]] = {}

    def reached(room: str) -> set[str]:
        if room not in reach:
            reach[room] = set().union(*({other} | reached(other) for other in direct[room]))
        return reach[room]

    return {
        room: {target for target in targets if not any(target in reached(o) for o in targets)}
        for room, targets in direct.items()
    }


@dataclass(eq=False)
class Node:
    """A room, or where a line crosses a floor between its rooms.

    Attributes:
        name: of the room; empty for a crossing.
        x: its middle.
    """

    name: str
    x: float = 0.0

    @property
    def width(self) -> float:
        """Of the box."""
        return len(self.name) * LETTER + 18 if self.name else 4.0


@dataclass
class Drawing:
    """Nodes floor by floor, and lines from each floor to the next."""

    rows: list[list[Node]]
    lines: list[list[Node]]


def laid_out(rows: Sequence[Sequence[str]], edges: Imports) -> Drawing:
    """Place rooms and the lines between them."""
    nodes = {name: Node(name) for row in rows for name in row}
    level = {name: index for index, row in enumerate(rows) for name in row}
    drawing = Drawing([[nodes[name] for name in row] for row in rows], [])
    for source, start in nodes.items():
        for target in sorted(edges.get(source, ()), key=lambda name: (level[name], name)):
            crossings = [Node("") for _ in range(level[source] + 1, level[target])]
            for index, crossing in enumerate(crossings, start=level[source] + 1):
                drawing.rows[index].append(crossing)
            drawing.lines.append([start, *crossings, nodes[target]])
    _arrange(drawing)
    return drawing


def _arrange(drawing: Drawing) -> None:
    """Order each floor, then space it, by the mean place of what its nodes are joined to."""
    joined: dict[int, list[Node]] = {}
    for line in drawing.lines:
        for one, other in itertools.pairwise(line):
            joined.setdefault(id(one), []).append(other)
            joined.setdefault(id(other), []).append(one)
    for row in drawing.rows:
        _spread(row, [WIDTH * (index + 0.5) / len(row) for index in range(len(row))])
    for sweep in range(SWEEPS):
        for row in drawing.rows if sweep % 2 else reversed(drawing.rows):
            wanted = {id(node): _mean([n.x for n in joined.get(id(node), [node])]) for node in row}
            if sweep < SWEEPS * 3 // 4:
                row.sort(key=lambda node: wanted[id(node)])
            _spread(row, [wanted[id(node)] for node in row])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _spread(row: Sequence[Node], wanted: Sequence[float]) -> None:
    """Give nodes in order the places they want, but apart from one another and in the picture."""
    rightwards, edge = [], float(GAP)
    for node, x in zip(row, wanted, strict=True):
        rightwards.append(max(x, edge + node.width / 2))
        edge = rightwards[-1] + node.width / 2 + GAP
    leftwards, edge = [], float(WIDTH - GAP)
    for node, x in zip(reversed(row), reversed(wanted), strict=True):
        leftwards.append(min(x, edge - node.width / 2))
        edge = leftwards[-1] - node.width / 2 - GAP
    middles = [_mean(pair) for pair in zip(rightwards, reversed(leftwards), strict=True)]
    edge = float(WIDTH - GAP)
    for node, x in zip(reversed(row), reversed(middles), strict=True):
        node.x = round(min(x, edge - node.width / 2), 1)
        edge = node.x - node.width / 2 - GAP


def svg(drawing: Drawing, direct: Imports) -> str:
    """The picture; each room's tooltip lists all that it imports."""
    height = FLOOR * len(drawing.rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Floors of {PACKAGE}</title>",
        "<!-- made by tests/lint/floors.py -->",
        f"<style>{STYLE}</style>",
        *_bands(len(drawing.rows)),
    ]
    top = {id(node): index * FLOOR for index, row in enumerate(drawing.rows) for node in row}
    parts += [_line(line, top) for line in drawing.lines]
    for row in drawing.rows:
        parts += [_box(node, top[id(node)], direct) for node in row if node.name]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bands(count: int) -> Iterator[str]:
    for index in range(count):
        y = index * FLOOR + (FLOOR - BOX) / 2
        yield f'<rect class="floor" y="{y - 6:g}" width="{WIDTH}" height="{BOX + 12}"/>'


def _line(line: Sequence[Node], top: Mapping[int, int]) -> str:
    """From the lower edge of the first box to the upper edge of the last, upright on floors."""
    middle, half = FLOOR / 2, BOX / 2
    path = f"M{line[0].x:g} {top[id(line[0])] + middle + half:g}"
    for before, node in itertools.pairwise(line):
        above, y = top[id(node)] - middle + half, top[id(node)] + middle - half
        bend = (above + y) / 2
        path += f"C{before.x:g} {bend:g} {node.x:g} {bend:g} {node.x:g} {y:g}"
        path += "" if node.name else f"V{y + BOX:g}"
    return f'<path class="import" d="{path}"/>'


def _box(node: Node, top: int, direct: Imports) -> str:
    x, y = node.x - node.width / 2, top + (FLOOR - BOX) / 2
    listed = ", ".join(sorted(direct.get(node.name, ()))) or "no other room"
    return (
        f'<g><title>{escape(f"{node.name} imports {listed}")}</title><rect class="room" '
        f'x="{x:g}" y="{y:g}" width="{node.width:g}" height="{BOX}" rx="4"/>'
        f'<text class="name" x="{node.x:g}" y="{y + 18:g}">{escape(node.name)}</text></g>'
    )


def picture() -> str:
    """The floors of the package as it is."""
    rows = floors((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    direct = imports(PACKAGE, [name for row in rows for name in row])
    return svg(laid_out(rows, reduced(direct)), direct)


def main() -> int:
    """Write the picture, or check that it is current."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        PICTURE.write_text(picture(), encoding="utf-8")
    elif not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != picture():
        sys.stderr.write(f"{PICTURE}: is not current; run `python tests/lint/floors.py`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
