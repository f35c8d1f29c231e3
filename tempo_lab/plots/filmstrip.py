"""A video as a strip of frames over its seconds, with relevance and tokens per segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import (
    BLACK,
    EVIDENCE,
    RELEVANCE,
    TOKENS,
    WANTED,
    fill_segments,
    new_figure,
    segment_edges,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.trace.trace import Trace

LEFT, RIGHT = 0.09, 0.985
"""Where the time axis begins and ends in a wide figure, as fractions of its width."""
MAX_PICTURES = 16
MAX_HEIGHT = 0.9
"""Height of a picture in the strip, in inches."""


def margins(width: float) -> tuple[float, float]:
    """Return where the time axis begins and ends, as fractions of a figure's width in inches."""
    return max(LEFT, 0.7 / width), min(RIGHT, 1 - 0.1 / width)


@renamed_keywords(into="figure", chosen="segment")
def filmstrip(
    trace: Trace,
    pictures: Sequence[np.ndarray],
    *,
    truth: np.ndarray | None = None,
    segment: int | None = None,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw frames, relevance and tokens over the video's seconds.

    Each picture is drawn in the middle of its segment; of many segments, every n-th has one.

    Args:
        trace: what to draw.
        pictures: [segment], uint8 [row, column, 3], one frame per segment.
        truth: bool [segment], True for segments that hold the evidence.
        segment: a segment to frame.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [3], [strip, relevance, tokens].

    Raises:
        TraceError: there is not one picture per segment, or the question was only scored.
    """
    trace.check_answered()
    data = trace.data
    if len(pictures) != data.sizes["segment"]:
        raise TraceError(
            "a film strip needs one picture per segment",
            asked=f"{len(pictures)} pictures",
            found=f"{data.sizes['segment']} segments",
        )
    edges = segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
    width = width_of(figure, width)
    left, right = margins(width)
    inches = (right - left) * width
    every = -(-len(pictures) // MAX_PICTURES)
    shape = pictures[0].shape[0] / pictures[0].shape[1]
    height = min(MAX_HEIGHT, inches * every / len(pictures) * shape)
    figure = new_figure(figure, width, height + 2.9, layout="none")
    total = figure.bbox.height / figure.figure.dpi
    grid = figure.add_gridspec(
        3, 1, height_ratios=[height, 0.8, 0.8], hspace=0.25, left=left, right=right,
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

    fill_segments(upper, edges, data["relevance"].to_numpy(), RELEVANCE)
    upper.set(ylabel="relevance\n(probability)", ylim=(0, 1.12), yticks=[0, 0.5, 1])
    if truth is not None:
        _mark(upper, edges, np.asarray(truth, dtype=bool))
    tokens, wanted = data["tokens"].to_numpy(), data["wanted"].to_numpy()
    if (tokens < wanted).any():
        lower.stairs(wanted, edges, fill=True, color=WANTED)
    fill_segments(lower, edges, tokens, TOKENS)
    highest = max(1, int(tokens.max()), int(wanted.max()))
    lower.set(ylabel="memory\ntokens", xlabel="time (s)", ylim=(0, 1.1 * highest))
    tidy(upper, lower)
    for axes in (strip, upper):
        axes.tick_params(labelbottom=False, bottom=axes is upper)
    if segment is not None:
        for axes in (strip, upper, lower):
            axes.axvspan(
                edges[segment], edges[segment + 1], fill=False, edgecolor=BLACK, linewidth=2,
                clip_on=False, zorder=5,
            )  # fmt: skip
    heading = f"{trace.asked} → {trace.answer}"
    strip.set_title(title(heading, 100, width), loc="left", fontsize="medium")
    return figure.figure, np.array([strip, upper, lower])


def _mark(axes: Axes, edges: np.ndarray, truth: np.ndarray) -> None:
    """Draw the evidence as a hatched band above the bars."""
    for number in np.flatnonzero(truth):
        axes.axvspan(
            edges[number], edges[number + 1], 0.93, 1, facecolor="white", edgecolor=EVIDENCE,
            hatch="/////", linewidth=1,
            label="holds the evidence" if number == np.flatnonzero(truth)[0] else None,
        )  # fmt: skip
    if truth.any():
        axes.legend(loc="upper right", bbox_to_anchor=(1, 0.93), frameon=False, fontsize="small")
