from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np

from tenter.reporting import drawing


def draw(name: str = "one", text: str = "label") -> str:
    with drawing.style(name):
        drawn = drawing.figure(3.0, 2.0)
        axes = drawn.add_subplot()
        axes.plot([0, 1], [0, 1], "o-")
        axes.imshow(np.eye(4), interpolation="none")
        axes.set_title(text)
    return str(drawing.inline(drawn, 'alt "with" <marks>', name))


def test_an_inline_drawing_is_well_formed_and_named() -> None:
    root = ET.fromstring(draw())  # noqa: S314 - our own drawing
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert (root.get("role"), title.text) == ("img", 'alt "with" <marks>')


def test_words_in_a_drawing_are_escaped_and_no_formulae() -> None:
    assert "&lt;b&gt; $x$" in draw(text="<b> $x$")


def test_ids_of_two_drawings_do_not_meet() -> None:
    first, second = (set(re.findall(r' id="([^"]+)"', draw(name))) for name in ("one", "two"))
    assert first
    assert not first & second


def test_every_reference_has_its_target() -> None:
    drawn = draw()
    targets = set(re.findall(r' id="([^"]+)"', drawn))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', drawn)) <= targets


def test_a_drawing_is_the_same_each_time() -> None:
    assert draw() == draw()


def test_a_drawing_leaves_the_global_style_alone() -> None:
    before = dict(mpl.rcParams)
    draw()
    assert dict(mpl.rcParams) == before


def test_a_drawing_brings_no_style_sheet_of_its_own() -> None:
    assert "<style" not in draw()
