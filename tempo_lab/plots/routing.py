"""Another allocation of the same scores, compared with the one that was used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import (
    BLACK,
    RELEVANCE,
    TOKENS,
    WANTED,
    fill_segments,
    heading,
    legend_below,
    new_figure,
    segment_edges,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.allocation.ata import Allocation
    from tempo_lab.trace.trace import Trace


def routing(
    trace: Trace,
    allocation: Allocation,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw another allocation as bars, and the trace's own as a dashed line.

    Pale bars show how many tokens segments wanted where the budget gave less.

    Args:
        trace: a question and its allocation.
        allocation: of the same scores, from `tempo_lab.allocate`.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [2], [scores, tokens].

    Raises:
        TraceError: the allocation has another number of segments, or the trace has none.
    """
    trace.check_answered()
    data, attrs = trace.data, trace.data.attrs
    if len(allocation) != data.sizes["segment"]:
        raise TraceError(
            "the allocation belongs to another video",
            asked=f"{len(allocation)} segments",
            found=f"{data.sizes['segment']} segments in the trace",
            fix="allocate(trace.data['score'], ...)",
        )
    edges = segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
    before, tokens, wanted = data["tokens"].to_numpy(), allocation.tokens, allocation.wanted

    width = width_of(figure, width)
    figure = new_figure(figure, width, 4.4)
    upper, lower = axes = figure.subplots(2, 1, sharex=True)
    fill_segments(upper, edges, allocation.scores, RELEVANCE)
    upper.set(ylabel="score", ylim=(min(0, allocation.scores.min()), None))
    if allocation.scores.max() <= 1:
        upper.set_ylim(top=1.05)

    if (tokens < wanted).any():
        lower.stairs(wanted, edges, fill=True, color=WANTED, label="wanted")
    lower.stairs(tokens, edges, fill=True, color=TOKENS, label="this allocation")
    fill_segments(lower, edges, tokens, TOKENS)
    lower.stairs(before, edges, color=BLACK, linewidth=1.6, linestyle="--", label="in the trace")
    highest = max(1, *map(int, (tokens.max(), wanted.max(), before.max())))
    lower.set(ylabel="memory tokens\nper segment", xlabel="time (s)", ylim=(0, 1.1 * highest))
    lower.set_xlim(edges[0], edges[-1])
    legend_below(figure, width, *lower.get_legend_handles_labels())
    tidy(*axes)
    heading(figure, width, trace.asked)
    for each, text in (
        (upper, f"As asked: {attrs['used']} of {attrs['budget']} tokens ({attrs['strategy']})"),
        (lower, f"Now: {allocation.used} of {allocation.budget} tokens ({allocation.strategy})"),
    ):
        each.set_title(title(text, 95, width), loc="left", fontsize="small")
    return figure.figure, axes
