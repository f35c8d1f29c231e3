"""What all figures share: the palette, their width and fonts, the axes they are drawn in, titles.

Colors are the Okabe-Ito set, which color-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from tempo_lab.common.errors import TempoLabError, TraceError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_number
from tempo_lab.trace.trace import interventions_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.analysis.result import Result

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PINK = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE, FAINT = "#777777", "#cccccc", "#e5e5e5"
"""The Okabe-Ito colors (RED is their vermillion), and three grays for backgrounds."""
RELEVANCE, TOKENS, ATTENTION, EVIDENCE, WANTED = RED, BLUE, PINK, GREEN, PALE
"""Colors of what is known per segment, the same in every figure over a video's seconds."""
CYCLE = (BLUE, RED, GREEN, PINK, SKY, ORANGE, BLACK)
"""Colors of the lines of one figure, in this order."""
MARKERS = "osD^vPX"
"""Markers of these lines, so that color is never the only difference."""
MAP, AROUND_ZERO = "viridis", "RdBu_r"
"""Color maps for values of one sign, and for differences around zero."""
STYLES: dict[str, tuple[str, str]] = {
    "ATA head": (BLUE, "o"),
    "ATA tail": (SKY, "v"),
    "ATA random": (SKY, "D"),
    "ATA ToMe": (SKY, "s"),
    "uniform head": (RED, "o"),
    "uniform ToMe": (RED, "s"),
    "top-k": (GREEN, "^"),
    "hard router": (GREEN, "s"),
    "facility location": (PINK, "p"),
    "sparse frames": (PINK, "X"),
    "all tokens": (BLACK, "*"),
    "shuffled scores": (GREY, "P"),
    "oracle routing": (ORANGE, "D"),
}
"""Color and marker of each family of arms, in every figure that compares allocations."""
HOLLOW = ("oracle routing", "shuffled scores")
"""Families drawn as hollow markers: the ceiling and the control."""

WIDTHS = {"column": 3.4, "text": 7.0}
"""Widths of a paper's column and of its text, in inches."""
WIDE, NARROW = 9.0, 5.0
"""Width of a figure outside of `style`; and below which panels are stacked, both in inches."""
FONT = 10.0
"""Matplotlib's default size of fonts in points, to which numbers of letters refer."""
SMALLEST = 7.0
"""Size of the smallest text in points, where much of it has little room."""

R = TypeVar("R", bound="Result")

_width: ContextVar[float] = ContextVar("width", default=WIDE)


# Size and fonts


@contextmanager
def style(
    name: str = "paper", *, width: str | float = "column", font: float = 8.5
) -> Iterator[None]:
    """Draw figures for a paper inside the block: a given width, fonts of 7 to 9 points::

        with tl.plots.style("paper"):
            figure, _ = tl.plots.allocation(trace)
        figure.savefig("allocation.pdf")

    Fonts in PDF and PS files are TrueType, also in figures of your own that are saved inside the
    block. A figure that a plot creates has TrueType fonts anyway.

    Args:
        name: "paper", the only style.
        width: "column" (3.4 inches), "text" (7 inches), or a number of inches. A plot that is
            given a width, axes or a figure draws in these.
        font: size of titles and labels in points; small labels have 5/6 of it.

    Raises:
        TempoLabError: there is no such style, or the width or the font is not a positive number.
    """
    import matplotlib

    from tempo_lab.plots.figure import TRUETYPE

    if name != "paper":
        raise TempoLabError(
            "unknown style",
            asked=repr(name),
            found="paper",
            fix=f'use style("paper", width={name!r})' if name in WIDTHS else 'use style("paper")',
        )
    if isinstance(width, str) and width not in WIDTHS:
        raise TempoLabError(
            "unknown figure width",
            asked=repr(width),
            found=", ".join(WIDTHS),
            fix=did_you_mean(width, WIDTHS, "use one of these, or a number of inches"),
        )
    inches = WIDTHS[width] if isinstance(width, str) else width
    inches = check_number("width", inches, 1, 100, error=TempoLabError)
    font = check_number("font", font, 1, 100, error=TempoLabError)
    sizes: Any = {"font.size": font, "axes.titlesize": "medium", "figure.titlesize": "medium"}
    token = _width.set(inches)
    try:
        with matplotlib.rc_context({**TRUETYPE, **sizes}):
            yield
    finally:
        _width.reset(token)


def width_of(target: Figure | SubFigure | Axes | None, width: float | None) -> float:
    """Return the width to draw in, in inches: that of the target, the argument's, or the style's.

    Args:
        target: figure or axes that a plot was given.
        width: argument of a plot.
    """
    if target is not None:
        return float(target.bbox.width / target.figure.dpi)
    return _width.get() if width is None else width


def new_figure(
    figure: Figure | SubFigure | None,
    width: float,
    height: float,
    layout: Literal["constrained", "none"] = "constrained",
) -> Figure | SubFigure:
    """Return the figure that a plot was given, or a new one.

    An empty figure without a layout engine gets the same one as a new figure.

    Args:
        figure: argument of a plot.
        width, height: of a new figure, in inches.
        layout: "constrained" or "none".
    """
    if figure is None:
        from matplotlib import pyplot

        from tempo_lab.plots.figure import Figure as TrueTypeFigure

        size = (width, height)
        return pyplot.figure(FigureClass=TrueTypeFigure, figsize=size, layout=layout)
    if figure is figure.figure and not figure.axes and not figure.subfigs:
        root = figure.figure
        if root.get_layout_engine() is None and layout != "none":
            root.set_layout_engine(layout)
    return figure


def new_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes that a plot was given, or those of a new figure of this size in inches."""
    return new_figure(None, width, height).subplots() if ax is None else ax


def side_by_side(
    figure: Figure | SubFigure | None, width: float, height: float, count: int, **options: Any
) -> tuple[Figure | SubFigure, np.ndarray]:
    """Return a figure and `count` axes in a row; in a narrow figure, below each other.

    Args:
        figure: argument of a plot.
        width: of the figure, in inches.
        height: of a row, in inches.
        options: `sharey` and `width_ratios`, of `Figure.subplots`, which apply to a row.
    """
    if width < NARROW:
        figure = new_figure(figure, width, 0.8 * height * count)
        return figure, figure.subplots(count, 1, squeeze=False)[:, 0]
    figure = new_figure(figure, width, height)
    return figure, figure.subplots(1, count, squeeze=False, **options)[0]


# Text


def title(text: str, longest: int, width: float = WIDE, lines: int = 1) -> str:
    """Return text as a title, cut to fit; a dollar sign begins no mathematics.

    Args:
        text: any text.
        longest: number of letters that fit in a line of 9 inches at 10 points.
        width: available width, in inches.
        lines: number of lines if the figure is narrow; else it is one line.
    """
    import matplotlib

    letters = max(8, round(longest * width / WIDE * FONT / matplotlib.rcParams["font.size"]))
    if lines == 1 or width >= NARROW:
        text = one_line(text, letters)
    else:
        text = one_line(text, lines * letters)
        text = "\n".join(wrap(text, letters, max_lines=lines, placeholder=" ..."))
    return text.replace("$", r"\$")


def heading(figure: Figure | SubFigure, width: float, *lines: str) -> None:
    """Write lines above everything else, flush left."""
    text = "\n".join(title(line, 95, width, lines=3) for line in lines)
    figure.suptitle(text, x=0.01, ha="left", fontsize="medium")


def legend_below(
    figure: Figure | SubFigure, width: float, handles: list[Any], labels: list[str], **options: Any
) -> None:
    """Write a legend below the figure, in as many columns as fit."""
    import matplotlib

    letters = 16 * width * FONT / matplotlib.rcParams["font.size"]
    columns = int(letters / (6 + max(map(len, labels), default=0)))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(max(1, columns), len(labels)) or 1,
        frameon=False, fontsize="small", **options,
    )  # fmt: skip


def interventions_note(provenance: Mapping[str, Any]) -> str:
    """Return a run's interventions in brackets, to follow its question; "" for none."""
    interventions = "; ".join(interventions_of(provenance))
    return f" [{interventions}]" if interventions else ""


# Axes


def tidy(*axes: Axes, grid: str = "y") -> None:
    """Remove the frame above and at the right, and draw faint grid lines behind everything."""
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(axis=grid, color=FAINT, linewidth=0.8)  # type: ignore[arg-type]
        each.set_axisbelow(True)


def error_bars(value: Any, low: Any, high: Any) -> np.ndarray:
    """Return distances from values to the ends of their intervals [2, ...]; 0 for no interval."""
    distances = np.stack([value - low, high - value]).astype(float)
    return np.nan_to_num(distances).clip(0)


def fill_segments(axes: Axes, edges: np.ndarray, heights: np.ndarray, color: str) -> None:
    """Draw a bar per segment from its start to its end.

    White lines separate them while they are few.

    Args:
        axes: to draw in.
        edges: [segment + 1], seconds.
        heights: [segment].
        color: of the bars.
    """
    axes.stairs(heights, edges, fill=True, color=color)
    if len(heights) <= 160:
        axes.vlines(edges[1:-1], 0, np.maximum(heights[1:], heights[:-1]), color="white", lw=0.7)


def segment_edges(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return where segments meet, [segment + 1], in seconds; an image is one second wide."""
    edges = np.append(start, end[-1]).astype(float)
    return edges if edges[-1] > edges[0] else edges[0] + np.arange(len(edges), dtype=float)


def check_result(result: Any, kind: type[R], made_by: str) -> R:
    """Return the result, if it is of this kind.

    Args:
        result: argument of a plot.
        kind: class that the plot draws.
        made_by: name of the analysis that returns it, for the message.

    Raises:
        TraceError: it is something else.
    """
    if not isinstance(result, kind):
        raise TraceError(
            f"this plot needs a result of type {kind.__name__}",
            asked=one_line(repr(result), 120),
            found=type(result).__name__,
            fix=f"pass the result of tempo_lab.analysis.{made_by}",
        )
    return result
