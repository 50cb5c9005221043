"""Draw the plots of a report with matplotlib, in the colours of the light theme."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from edge_tester.core.backends import backend
from edge_tester.core.results.words import Kind, unit_for
from edge_tester.report._svg import embedded_svg
from edge_tester.report._theme import LIGHT

# Units of all drawings; shown half a page wide or on a phone, text stays readable.
WIDTH: Final = 480
FONT_SIZE: Final = 12
# At a larger ratio of the largest to the smallest value an axis is logarithmic.
LINEAR_SPAN: Final = 10
Box = tuple[float, float, float, float]
"""Least x, least y, greatest x, greatest y."""

_NAME = "The report"
_UNITS_PER_INCH = 72
_MOST_TICKS = 6
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
    left: int = 60,
    right: int = 16,
    top: int = 34,
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


def scale(axis: Any, kind: Kind, low: float, high: float) -> None:
    """Set the limits and ticks of an axis, logarithmic where the values span widely.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
    kind : str
        Of number that it shows.
    low, high : float
        Least and greatest value to show, in base units; a linear axis from 0
        begins right there.
    """
    ticker = backend("matplotlib.ticker", _NAME)
    name = axis.axis_name
    if low > 0 and high / low > LINEAR_SPAN:
        getattr(axis.axes, f"set_{name}scale")("log")
        room = (high / low) ** 0.05
        low, high = low / room, high * room
        ticks = log_ticks(kind, low, high)
        axis.set_minor_locator(ticker.NullLocator())
    else:
        room = 0.06 * (high - low) or abs(high) * 0.05 or 1
        low, high = low - room if low else 0, high + room
        # Round numbers of the unit that is shown: 10 KiB is round, 10,000 bytes are not.
        size = unit_for(kind, [abs(high)]).size
        ticks = [size * tick for tick in ticker.MaxNLocator(5).tick_values(low / size, high / size)]
    possible = (-1e-9, 1 + 1e-9) if kind == "percent" else (low, high)
    low_tick, high_tick = max(low, possible[0]), min(high, possible[1])
    shown = [tick for tick in ticks if low_tick <= tick <= high_tick]
    axis.set_major_locator(ticker.FixedLocator(shown))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: tick_label(value, kind)))
    getattr(axis.axes, f"set_{name}lim")(low, high)


def log_ticks(kind: Kind, low: float, high: float) -> list[float]:
    """Return at most six round values of a logarithmic axis, powers of two for bytes."""
    base = 2 if kind == "bytes" else 10
    exponents = range(math.floor(math.log(low, base)), math.ceil(math.log(high, base)) + 1)
    ticks: list[float] = []
    for factors in ((1,),) if kind == "bytes" else ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * float(base) ** e for e in exponents for f in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= _MOST_TICKS:
            return ticks
    return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]


def tick_label(value: float, kind: Kind) -> str:
    """Return a value as a tick says it, such as ``50 µs``."""
    unit = unit_for(kind, [abs(value)])
    digits = value / unit.size
    return f"{digits:,.4g} {unit.name}".rstrip() if value else "0"


def name_axes(axes: Any, horizontal: str, vertical: str) -> None:
    """Say what the axes show; the vertical one above its end, where it reads level."""
    axes.set_xlabel(horizontal)
    height = axes.figure.bbox.height
    axes.figure.text(
        0.008, 1 - 4 / height, vertical, va="top", color=LIGHT["muted"], fontsize=FONT_SIZE
    )


def place_labels(
    axes: Any,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    colours: Sequence[str],
    bars: Sequence[Box],
) -> None:
    """Write labels beside points so that they cover no point, no bar and no other label.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    points : sequence of (x, y)
    labels, colours : sequences of str
        One per point.
    bars : sequence of (least x, least y, greatest x, greatest y)
    """
    figure = axes.figure
    # Measures texts; the figure itself may be drawn by another backend later.
    agg = backend("matplotlib.backends.backend_agg", _NAME).FigureCanvasAgg(figure)
    renderer = agg.get_renderer()
    bounds = axes.get_window_extent(renderer)
    dots = axes.transData.transform(points)
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in dots]
    lines = []
    for bar in bars:
        ends = axes.transData.transform([bar[:2], bar[2:]])
        lines.append((ends[0][0] - 2, ends[0][1] - 2, ends[1][0] + 2, ends[1][1] + 2))
    for (x, y), point, label, colour in zip(dots, points, labels, colours, strict=True):
        text = axes.annotate(
            label,
            point,
            xytext=(0, 0),
            textcoords="offset points",
            color=colour,
            fontsize=FONT_SIZE - 0.5,
            va="center",
        )
        extent = text.get_window_extent(renderer)
        width, height = extent.width, extent.height
        boxes = [
            (x + dx, y + dy - height / 2, x + dx + width, y + dy + height / 2)
            for dx, dy in _offsets(width, height)
        ]
        inside = [box for box in boxes if _inside(box, bounds)]
        # Where it is crowded, crossing a bar is better than covering a name.
        candidates = [
            *(box for box in inside if not _overlaps(box, [*taken, *lines])),
            *(box for box in inside if not _overlaps(box, taken)),
            *boxes,
        ]
        box = candidates[0]
        left, middle = box[0] - x, (box[1] + box[3]) / 2 - y
        text.set_position((left, middle))
        taken.append(box)
        if abs(middle) > 1.5 * height:
            # Too far away to see whose name it is.
            near = (left + width / 2, middle - math.copysign(height / 2, middle))
            arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0}
            axes.annotate("", point, near, textcoords="offset points", arrowprops=arrow)


def _inside(box: Box, bounds: Any) -> bool:
    level = bounds.x0 <= box[0] and box[2] <= bounds.x1
    return bool(level and bounds.y0 <= box[1] and box[3] <= bounds.y1)


def _overlaps(box: Box, others: Sequence[Box]) -> bool:
    return any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
        for other in others
    )


def _offsets(width: float, height: float) -> Iterator[tuple[float, float]]:
    for distance in range(0, 12):
        rise = distance * height
        for dy in (rise, -rise):
            for dx in (11.0, -11 - width, -width / 2):
                if dx != -width / 2 or distance:
                    yield dx, dy + math.copysign(4, dy) * bool(distance)
