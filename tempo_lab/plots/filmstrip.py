"""A video as a strip of pictures over its seconds, with what the model made of each segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import BLACK, BLUE, GREEN, PALE, RED, edges_of, spans, tidy, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.trace.trace import Trace

LEFT, RIGHT = 0.09, 0.985
"""Where the axis of seconds begins and ends, as shares of the figure's width."""
MOST_PICTURES = 16
HIGHEST = 0.9
"""Inches of a picture in the strip."""


def filmstrip(
    trace: Trace,
    pictures: Sequence[np.ndarray],
    *,
    truth: np.ndarray | None = None,
    chosen: int | None = None,
    width: float = 9.0,
    into: SubFigure | None = None,
) -> tuple[Figure | SubFigure, np.ndarray]:
    """Frames, relevance and tokens over the video's seconds.

    A picture stands in the middle of its segment; of many segments, every so many show one.

    Args:
        trace: what to draw.
        pictures: uint8 [row, column, 3], one frame a segment.
        truth: bool [segment], which segments hold the evidence.
        chosen: a segment to frame.
        width: of the figure, in inches.
        into: a part of a larger figure to draw in, as wide as `width`.

    Returns:
        the figure and its axes, [strip, relevance, tokens].

    Raises:
        TraceError: not one picture a segment.
    """
    from matplotlib import pyplot

    data = trace.data
    if len(pictures) != data.sizes["segment"]:
        raise TraceError(
            "a film strip needs one picture a segment",
            asked=f"{len(pictures)} pictures",
            found=f"{data.sizes['segment']} segments",
        )
    edges = edges_of(data["start"].to_numpy(), data["end"].to_numpy())
    inches = (RIGHT - LEFT) * width
    every = -(-len(pictures) // MOST_PICTURES)
    shape = pictures[0].shape[0] / pictures[0].shape[1]
    high = min(HIGHEST, inches * every / len(pictures) * shape)
    figure = into or pyplot.figure(figsize=(width, high + 2.9))
    total = figure.bbox.height / figure.dpi
    grid = figure.add_gridspec(
        3, 1, height_ratios=[high, 0.8, 0.8], hspace=0.25, left=LEFT, right=RIGHT,
        top=1 - 0.4 / total, bottom=0.5 / total,
    )  # fmt: skip
    strip = figure.add_subplot(grid[0])
    upper = figure.add_subplot(grid[1], sharex=strip)
    lower = figure.add_subplot(grid[2], sharex=strip)
    strip.set(xlim=(edges[0], edges[-1]), ylim=(0, 1), yticks=[])
    wide = strip.get_position().height * total / shape  # inches of a picture
    seconds = wide * (edges[-1] - edges[0]) / inches
    for first in range(0, len(pictures), every):
        last = min(first + every, len(pictures))
        middle = (edges[first] + edges[last]) / 2
        half = min(seconds, edges[last] - edges[first]) / 2
        strip.imshow(
            pictures[(first + last - 1) // 2], extent=(middle - half, middle + half, 0, 1),
            aspect="auto", interpolation="antialiased",
        )  # fmt: skip
    strip.set(xlim=(edges[0], edges[-1]), ylim=(0, 1))
    strip.spines[:].set_visible(False)
    if every == 1:
        strip.vlines(edges[1:-1], 0, 1, color="white", linewidth=1.5)

    spans(upper, edges, data["relevance"].to_numpy(), RED)
    upper.set(ylabel="relevance\n(probability)", ylim=(0, 1.12), yticks=[0, 0.5, 1])
    if truth is not None:
        _mark(upper, edges, np.asarray(truth, dtype=bool))
    tokens, wanted = data["tokens"].to_numpy(), data["wanted"].to_numpy()
    if (tokens < wanted).any():
        lower.stairs(wanted, edges, fill=True, color=PALE)
    spans(lower, edges, tokens, BLUE)
    most = max(1, int(tokens.max()), int(wanted.max()))
    lower.set(ylabel="memory\ntokens", xlabel="time (s)", ylim=(0, 1.1 * most))
    tidy(upper, lower)
    for axes in (strip, upper):
        axes.tick_params(labelbottom=False, bottom=axes is upper)
    if chosen is not None:
        for axes in (strip, upper, lower):
            axes.axvspan(
                edges[chosen], edges[chosen + 1], fill=False, edgecolor=BLACK, linewidth=2,
                clip_on=False, zorder=5,
            )  # fmt: skip
    heading = f"{trace.question} → {trace.answer}"
    strip.set_title(title(heading, 100), loc="left", fontsize="medium")
    return figure, np.array([strip, upper, lower])


def _mark(axes: Axes, edges: np.ndarray, truth: np.ndarray) -> None:
    """The evidence as a striped band above the bars."""
    for number in np.flatnonzero(truth):
        axes.axvspan(
            edges[number], edges[number + 1], 0.93, 1, facecolor="white", edgecolor=GREEN,
            hatch="/////", linewidth=1,
            label="holds the evidence" if number == np.flatnonzero(truth)[0] else None,
        )  # fmt: skip
    if truth.any():
        axes.legend(loc="upper right", bbox_to_anchor=(1, 0.93), frameon=False, fontsize="small")
