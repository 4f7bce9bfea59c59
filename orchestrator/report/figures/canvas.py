"""Draws a panel with matplotlib and turns it into an `<svg>` element of the HTML page.

Colours are CSS variables of the page, so that one drawing serves light, dark and print; text
stays text. Equal panels give equal bytes.
"""

import io
import re
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from textwrap import fill
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from orchestrator.report.blocks import Figure, Panel
from orchestrator.report.looks import Look
from orchestrator.report.palette import LIGHT
from orchestrator.report.text import clean
from tasks.contract.cell import importing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

WIDTH = 360
"""Of every panel, in pixels: a narrow phone shows it at its full size."""
TICK_GAP = 6
"""Pixels at least between two labels of an axis; a reader's font may be wider than ours."""
TITLE = 52
"""Characters in a line of a title, where panels are not on a page."""
# matplotlib knows only numeric colours. Each colour of the palette gets a number that no drawing
# uses otherwise, and the finished SVG has it replaced by the name.
_INKS = {name: f"#0101{index:02x}" for index, name in enumerate(LIGHT, start=1)}
_NAMES = {value: name for name, value in _INKS.items()}
_USED: ContextVar[Mapping[str, str]] = ContextVar("inks", default=_INKS)
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LONG = re.compile(r"-?\d+\.\d{3,}")


def ink(name: str) -> str:
    """A colour of the palette as matplotlib knows it: for a page, a number that stands for it."""
    return _USED.get()[name]


def _style() -> dict[str, Any]:
    """Settings of every drawing, in the colours that are used now."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "rho-sweep",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 10.5,
        "text.color": ink("ink"),
        "axes.edgecolor": ink("edge"),
        "axes.labelcolor": ink("ink"),
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.formatter.useoffset": False,
        "axes.unicode_minus": True,
        "grid.color": ink("rule"),
        "grid.linewidth": 0.7,
        "xtick.color": ink("edge"),
        "ytick.color": ink("edge"),
        "xtick.labelcolor": ink("ink"),
        "ytick.labelcolor": ink("ink"),
        "figure.constrained_layout.h_pad": 0.02,
        "figure.constrained_layout.w_pad": 0.02,
    }


_DASHES = {"-": "none", "--": "5 2", "-.": "6 2 1 2", ":": "1.5 2"}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def drawn(panel: Panel, prefix: str) -> Markup:
    """The panel as an `<svg>` element with a title and a description.

    Args:
        panel: What to draw.
        prefix: Begins every id in the element; different for each panel of a page.
    """
    root = ElementTree.fromstring(_matplotlib_svg(panel))
    for element in list(root.iter()):
        # SVG inside HTML needs no namespaces. A style sheet in it would count for the whole page.
        element.tag = element.tag.rpartition("}")[2]
        for name in [n for n in element.attrib if "}" in n]:
            element.set(name.rpartition("}")[2], element.attrib.pop(name))
        for child in list(element):
            if child.tag.endswith(("}metadata", "}style")):
                element.remove(child)
    _fit_the_page(root, prefix)
    for name in ("width", "height", "version", "xmlns"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
    for name, text in (("desc", panel.description), ("title", panel.title)):
        element = ElementTree.Element(name, {"id": f"{prefix}-{name}"})
        element.text = clean(text)
        root.insert(0, element)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def drawing(figure: Figure) -> "Drawing":
    """All panels of a figure below each other, with their legend, for a notebook or a paper.

    A figure of pyplot, so that a notebook shows it; pyplot itself has forgotten it, so that it is
    shown once.
    """
    with importing("matplotlib"):
        from matplotlib import pyplot, style
    from matplotlib.lines import Line2D

    used = _USED.set(LIGHT)
    try:
        with style.context(["default", _style()]):
            heights = [panel.height / 72 for panel in figure.panels]
            whole = pyplot.figure(figsize=(1.4 * WIDTH / 72, sum(heights)), layout="constrained")
            pyplot.close(whole)
            rows = whole.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
            for axes, panel in zip(rows, figure.panels, strict=True):
                panel.draw(axes)
                axes.set_title(fill(panel.title, TITLE), loc="left", fontsize="medium")
            marks = [
                Line2D([], [], color=ink(k.colour), ls=k.dash, marker=k.marker, label=label)
                for label, k in figure.legend
            ]
            if marks:
                whole.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False)
            whole.suptitle(figure.title, fontsize="medium", x=0.01, ha="left")
    finally:
        _USED.reset(used)
    return whole


@cache
def swatch(look: Look) -> Markup:
    """The line and the marker of a series, as a small `<svg>` for the legend."""
    with importing("matplotlib"):
        from matplotlib.markers import MarkerStyle

    marker = MarkerStyle(look.marker)
    shape = marker.get_path().transformed(marker.get_transform())
    outline = "".join(
        "M" + "L".join(f"{9 * x:.1f} {-9 * y:.1f}" for x, y in np.asarray(polygon)) + "Z"
        for polygon in shape.to_polygons()
    )
    dashes = _DASHES[look.dash]
    return Markup(
        '<svg class="swatch" viewBox="-14 -7 28 14" aria-hidden="true" focusable="false">'
        '<path d="M-14 0H14" stroke="var(--{colour})" stroke-dasharray="{dashes}"/>'
        '<path d="{outline}" fill="var(--{colour})"/></svg>'
    ).format(colour=look.colour, dashes=dashes, outline=outline)


def _matplotlib_svg(panel: Panel) -> str:
    """The SVG file that matplotlib writes; a user's own matplotlibrc has no effect on it."""
    with importing("matplotlib"):
        from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    buffer = io.StringIO()
    with style.context(["default", _style()]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser's fonts have it
        figure = Figure((WIDTH / 72, panel.height / 72), dpi=72, facecolor="none")
        canvas: Any = FigureCanvasSVG(figure)
        axes = figure.add_subplot(facecolor="none")
        panel.draw(axes)
        ConstrainedLayoutEngine().execute(figure)
        _space(axes)
        canvas.print_svg(buffer, metadata=_NO_METADATA)  # savefig would draw twice
    return buffer.getvalue()


def _space(axes: "Axes") -> None:
    """Leave out labels of the x axis that would touch the one before; their ticks stay.

    The figure must have its layout, for that places the labels.
    """
    low, high = sorted(axes.get_xlim())
    kept: list[tuple[float, str]] = []
    touching: list[tuple[float, str]] = []
    end = float("-inf")
    for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
        if low <= place <= high:
            box = label.get_window_extent()
            touches = box.x0 < end + TICK_GAP
            (touching if touches else kept).append((float(place), label.get_text()))
            end = end if touches else box.x1
    if touching:
        axes.set_xticks([place for place, _ in kept], [text for _, text in kept])
        axes.set_xticks([place for place, _ in touching], minor=True)


def _fit_the_page(root: ElementTree.Element, prefix: str) -> None:
    """Rewrite the attributes for a page that holds other drawings and has its own style sheet.

    An id that is referred to gets a new name with the prefix; others are removed. Colours become
    CSS variables, fonts are left to the page, and coordinates have two digits.
    """
    used = {value[1:] for e in root.iter() if (value := e.get("href", "")).startswith("#")}
    for element in root.iter():
        used.update(i for value in element.attrib.values() for i in _REFERENCE.findall(value))
    names = {old: f"{prefix}-{index}" for index, old in enumerate(sorted(used))}
    for element in root.iter():
        if (old := element.attrib.pop("id", None)) in names:
            element.set("id", names[old])
        if href := element.get("href"):
            element.set("href", f"#{names[href[1:]]}")
        for name, value in element.attrib.items():
            element.set(name, _REFERENCE.sub(lambda m: f"url(#{names[m[1]]})", value))
        if declared := element.get("style"):
            kept = [d for d in declared.split("; ") if not d.startswith("font-family")]
            text = re.sub(r"font: ([\d.]+px) [^;]+", r"font-size: \1", "; ".join(kept))
            text = re.sub(r"#0101[0-9a-f]{2}", lambda m: f"var(--{_NAMES[m[0]]})", text)
            element.set("style", text)
        for name in ("d", "x", "y", "transform"):
            if coordinates := element.get(name):
                element.set(name, _LONG.sub(lambda m: f"{float(m[0]):.2f}", coordinates))
