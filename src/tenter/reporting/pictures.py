"""The section of pictures: which pairs are drawn, and what is written below them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tqdm import tqdm

from tenter.config import ReportSettings
from tenter.errors import DataError
from tenter.reporting import drawing, examples, panels
from tenter.reporting.examples import Example
from tenter.reporting.page import Block, Figure, Section
from tenter.reporting.results import Group, groups
from tenter.reporting.tables import strict_rows
from tenter.result_files import ResultFiles

LEGEND = (
    "Three planes (of slices, the plane of the slice) through the centre of the first structure, "
    "or of the grid. Orange, solid: labels of the fixed image. Blue, dashed: those of the moving "
    "image, with the alignment alone and registered. Last column: length of the displacement, and "
    "the fixed image's grid, mapped to the moving image."
)
UNMEASURED = (
    " Nothing was measured here: pairs are ordered by the roughness of their deformations, which "
    "says nothing about how well the images match."
)
MISSING = "No picture: the prepared case or the transform of this pair is missing or damaged."
UNLABELLED = "No contours: this case was prepared without labels."
SLICES = "Slices of fixed, aligned and registered image, and of the displacement"


def section(
    all_groups: Sequence[Group], settings: ReportSettings, paths: ResultFiles
) -> Section | None:
    """Draw chosen pairs of each model and set; None if the report shows none.

    Args:
        all_groups: all figures.
        settings: how many pairs are shown, and the order of the models.
        paths: of prepared cases and transforms; a missing one is named in place of the picture.
    """
    count = settings.report.examples
    sets = dict.fromkeys((group.set, group.model) for group in all_groups) if count else {}
    blocks: list[Block] = []
    for kind, model in tqdm(sets, desc="report: pictures", disable=None):
        members = [group for group in all_groups if (group.set, group.model) == (kind, model)]
        for index, example in enumerate(examples.choose(members, count)):
            name = f"panel-{kind}-{settings.models.index(model)}-{index}"
            blocks.append(_block(example, members, name, paths))
    text = LEGEND + (UNMEASURED if all(group.role == "field" for group in all_groups) else "")
    return Section("examples", "Pairs in pictures", tuple(blocks), text) if blocks else None


def _block(example: Example, members: Sequence[Group], name: str, paths: ResultFiles) -> Block:
    """The picture of one pair of the model and set of `members`, or why there is none."""
    model = members[0].model
    title = f"{example.title} of model {model}: {example.pair}"
    figures = examples.caption(example, members)
    caption = f"{example.origin}. {figures}."
    try:
        scene = examples.scene(paths.case(example.pair), paths.transform(model, example.pair))
    except (DataError, OSError):
        return Block(title, f"{caption} {MISSING}")
    drawn = panels.panel(scene, f"{title}. {SLICES}. {figures}.", name)
    note = "" if len(scene.fixed_labels) else f" {UNLABELLED}"
    return Block(title, figures=(Figure(drawn, caption + note),), wide=True)


def files(model: str, count: int, paths: ResultFiles) -> Iterator[tuple[str, str]]:
    """Draw cross-validated pairs of a model as separate files; what cannot be drawn is absent.

    Args:
        model: the model.
        count: number of pairs.
        paths: of metrics, prepared cases and transforms.

    Yields:
        The file's name, and its content (SVG).
    """
    members = groups(strict_rows(paths, model), [model]) if count else ()
    for example in examples.choose([group for group in members if group.set == "cv"], count):
        try:
            scene = examples.scene(paths.case(example.pair), paths.transform(model, example.pair))
        except (DataError, OSError):
            continue  # the report says that the picture is missing, and why
        title = f"{example.place.capitalize()} pair of model {model}: {example.pair}"
        name = f"{example.place.replace(' ', '-')}.svg"
        yield name, drawing.standalone(panels.panel(scene, title, "panel"))
