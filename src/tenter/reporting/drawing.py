"""A matplotlib figure as inline SVG: no global state, the page's own font, ids that stay unique."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#1b2430"
MUTED = "#55606e"
RULE = "#d5dbe2"
BETTER = "#0072b2"
WORSE = "#d55e00"
VANISHED = "#8f2f77"
BEFORE = "#6d7886"
SERIES = ("#0072b2", "#d55e00", "#007a59", "#aa4a8b", "#7a5c00", "#3d3d8f", "#3a9bd1", "#55606e")
"""Colours that differ for any colour vision (after Okabe and Ito) and are dark enough on white."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "image.composite_image": False,
}


def style(salt: str = "tenter") -> AbstractContextManager[None]:
    """Context in which figures are drawn and written; it restores the defaults afterwards."""
    return mpl.rc_context({**_STYLE, "svg.hashsalt": salt})


def figure(width: float, height: float, *, laid_out: bool = True) -> Figure:
    """An empty figure of `width` by `height` inches, without a window and without pyplot.

    Args:
        width: inches; a page shows about 100 pixels per inch.
        height: inches.
        laid_out: whether axes are moved until their labels fit.
    """
    drawn = Figure(figsize=(width, height), layout="constrained" if laid_out else None)
    FigureCanvasSVG(drawn)
    return drawn


def inline(drawn: Figure, alt: str, name: str) -> Markup:
    """The figure as an `<svg>` element with a text alternative.

    Args:
        drawn: the figure.
        alt: text alternative for people who cannot see the figure.
        name: unique within the page; prefixes every id inside.
    """
    stream = io.StringIO()
    with style(name):
        drawn.savefig(
            stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True
        )
    # The drawing is this package's, and its text is escaped.
    return Markup(_clean(stream.getvalue(), alt, name))  # noqa: S704


def standalone(drawing: Markup) -> str:
    """A drawing as a separate file, with the size that it has on a page.

    Without a size, MLflow shows it with zero width.
    """
    size = re.search(r'viewBox="0 0 (\S+) ([^"\s]+)"', drawing)
    if size is None:
        return str(drawing)
    return str(drawing).replace("<svg ", f'<svg width="{size[1]}" height="{size[2]}" ', 1)


def _clean(svg: str, alt: str, name: str) -> str:
    """Remove what a page does not need: prolog, metadata, global style, unused ids, digits."""
    body = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="[^"]+"', body)
    body = body[body.index(">") + 1 :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", body, flags=re.DOTALL
    )
    body = body.replace(
        "image-rendering:crisp-edges;image-rendering:pixelated", "image-rendering:auto"
    )
    body = re.sub(r"; font-family: [^;\"]*|font-family: [^;\"]*; ?", "", body)
    body = re.sub(r"(?<=[\s(])(-?\d+\.\d\d)\d+", r"\1", body)
    body = re.sub(r'(?<=[ "])(x|y|width|height)="(-?\d+\.\d\d)\d+"', r'\1="\2"', body)
    references = set(re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', body))
    used_ids = {first or second for first, second in references}
    body = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used_ids else "", body
    )
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{name}-\1"', body)
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    opening = (
        f'<svg {box.group() if box else ""} role="img" aria-labelledby="{name}-title" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-title">{escape(alt)}</title>'
    )
    return opening + body
