"""Draw the plots of a report with matplotlib, in the colours of the light theme."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from edge_tester.core.backends import backend
from edge_tester.report._svg import embedded_svg
from edge_tester.report._theme import LIGHT
from edge_tester.report._words import unit_for

# Units of all drawings; shown half a page wide or on a phone, text stays readable.
WIDTH: Final = 480
FONT_SIZE: Final = 12
# At a larger ratio of the largest to the smallest value an axis is logarithmic.
LINEAR_SPAN: Final = 10
_NAME = "The report"
_UNITS_PER_INCH = 72
_PNG_DOTS_PER_INCH = 160

_STYLE = {
    "svg.fonttype": "none",
    # Without it ids are random, and the same records would give another file.
    "svg.hashsalt": "edge_tester",
    # A dollar sign in a user's name is no formula.
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": FONT_SIZE,
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.labelsize": FONT_SIZE,
    "axes.edgecolor": LIGHT["rule"],
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": LIGHT["rule"],
    "grid.linewidth": 0.6,
    "xtick.color": LIGHT["rule"],
    "ytick.color": LIGHT["rule"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["muted"],
    "xtick.labelsize": FONT_SIZE - 1,
    "ytick.labelsize": FONT_SIZE - 1,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "lines.solid_capstyle": "round",
}


class Drawing(NamedTuple):
    """One plot.

    Attributes
    ----------
    name : str
        Unique among the plots of one record, or of the comparison.
    title, caption : str
    description : str
        What it shows, for those who cannot see it.
    figure : matplotlib.figure.Figure
    width : int
        In units.
    """

    name: str
    title: str
    caption: str
    description: str
    figure: Any
    width: int

    def svg(self, prefix: str, *, themed: bool) -> str:
        """Return it as SVG; see :func:`edge_tester.report._svg.embedded_svg`."""
        with style():
            content = io.StringIO()
            self.figure.savefig(content, format="svg")
        return embedded_svg(content.getvalue(), prefix, self.description, themed=themed)

    def png(self) -> bytes:
        """Return it as PNG on the paper of the light theme."""
        with style():
            content = io.BytesIO()
            self.figure.savefig(
                content, format="png", dpi=_PNG_DOTS_PER_INCH, facecolor=LIGHT["paper"]
            )
        return content.getvalue()


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the report; the user's own style is left as it was."""
    matplotlib = backend("matplotlib", _NAME)
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # Browsers have fonts for all scripts; only matplotlib's measuring has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def canvas(
    height: int,
    *,
    width: int = WIDTH,
    left: int = 64,
    right: int = 16,
    top: int = 12,
    bottom: int = 44,
) -> tuple[Any, Any]:
    """Return a figure and its axes; sizes and margins in units."""
    figures = backend("matplotlib.figure", _NAME)
    figure = figures.Figure(figsize=(width / _UNITS_PER_INCH, height / _UNITS_PER_INCH))
    # savefig takes the dots per inch of SVG from here, so that a unit is a pixel.
    figure.set_dpi(_UNITS_PER_INCH)
    axes = figure.add_axes(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - top - bottom) / height,
        )
    )
    return figure, axes


def scale(axis: Any, low: float, high: float, label: Callable[[float], str]) -> None:
    """Set the limits and ticks of an axis, logarithmic where the values span widely.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
    low, high : float
        Least and greatest value to show.
    label : callable
        Gives the text of a tick.
    """
    ticker = backend("matplotlib.ticker", _NAME)
    name = axis.axis_name
    if low > 0 and high / low > LINEAR_SPAN:
        getattr(axis.axes, f"set_{name}scale")("log")
        room = (high / low) ** 0.05
        limits = (low / room, high * room)
        axis.set_major_locator(ticker.FixedLocator(log_ticks(*limits)))
        axis.set_minor_locator(ticker.NullLocator())
    else:
        room = 0.06 * (high - low) or abs(high) * 0.05 or 1
        limits = (low - room, high + room)
        axis.set_major_locator(ticker.MaxNLocator(5))
    getattr(axis.axes, f"set_{name}lim")(*limits)
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: label(value)))


def log_ticks(low: float, high: float) -> list[float]:
    """Return at most six round values of a logarithmic axis: 1, 2, 5 times powers of ten."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**e for e in exponents for f in factors if low <= f * 10.0**e <= high]
        if len(ticks) <= 6:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 6)]


def time_label(value_ns: float) -> str:
    """Return a time as a tick says it, such as ``50 µs``."""
    unit = unit_for("time", [abs(value_ns)])
    return f"{value_ns / unit.size:.4g} {unit.name}" if value_ns else "0"


def bytes_label(value_bytes: float) -> str:
    """Return a size as a tick says it, such as ``1.5 MiB``."""
    unit = unit_for("bytes", [abs(value_bytes)])
    return f"{value_bytes / unit.size:.3g} {unit.name}" if value_bytes else "0"


def percent_label(share: float) -> str:
    """Return a share as a tick says it; nothing beyond what a share can be."""
    return f"{100 * share:.4g} %" if -1e-9 <= share <= 1 + 1e-9 else ""


def place_labels(
    axes: Any, points: Sequence[tuple[float, float]], labels: Sequence[str], colours: Sequence[str]
) -> None:
    """Write labels beside points so that they cover neither points nor each other."""
    figure = axes.figure
    # Measures texts; the figure itself may be drawn by another backend later.
    agg = backend("matplotlib.backends.backend_agg", _NAME).FigureCanvasAgg(figure)
    renderer = agg.get_renderer()
    bounds = axes.get_window_extent(renderer)
    dots = axes.transData.transform(points)
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in dots]
    for (x, y), label, colour in zip(dots, labels, colours, strict=True):
        text = axes.annotate(
            label,
            axes.transData.inverted().transform((x, y)),
            xytext=(0, 0),
            textcoords="offset points",
            color=colour,
            fontsize=FONT_SIZE - 0.5,
            va="center",
        )
        extent = text.get_window_extent(renderer)
        width, height = extent.width, extent.height
        fitting = None
        for dx, dy in _offsets(width, height):
            box = (x + dx, y + dy - height / 2, x + dx + width, y + dy + height / 2)
            inside = box[0] >= bounds.x0 and box[2] <= figure.bbox.x1 and box[1] >= bounds.y0
            if inside and not any(_overlap(box, other) for other in taken):
                fitting = (dx, dy, box)
                break
        dx, dy, box = fitting or (10, 0, (x, y, x, y))
        text.set_position((dx, dy))
        taken.append(box)


def _offsets(width: float, height: float) -> Iterator[tuple[float, float]]:
    for distance in range(0, 8):
        rise = distance * height
        for dy in (rise, -rise):
            for dx in (11.0, -11 - width, -width / 2):
                if dx != -width / 2 or distance:
                    yield dx, dy + math.copysign(4, dy) * bool(distance)


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
