"""Relevance and memory tokens per segment."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.validation import by_place
from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import (
    RELEVANCE,
    TOKENS,
    WANTED,
    fill_segments,
    heading,
    interventions_note,
    new_figure,
    segment_edges,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.trace.trace import Trace


def allocation(
    trace: Trace, *, width: float | None = None, figure: Figure | SubFigure | None = None
) -> tuple[Figure, np.ndarray]:
    """Draw relevance above memory tokens, per segment, over the video's seconds.

    Pale bars show how many tokens segments wanted where the budget gave less. Tokens are drawn
    where the LLM reads them, also if an intervention swapped segments.

    Args:
        trace: what to draw.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [2], [relevance, tokens].

    Raises:
        TraceError: it is not a trace, or its question was only scored.
    """
    from tempo_lab.trace.trace import Trace

    if not isinstance(trace, Trace):
        raise TraceError(
            "this plot needs a trace",
            asked=repr(trace),
            found=type(trace).__name__,
            fix=f"tempo_lab.Trace.load({str(trace)!r})"
            if isinstance(trace, str | PathLike)
            else "pass the result of `Session.ask`",
        )
    trace.check_answered()
    data, attrs = trace.data, trace.data.attrs
    edges = segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
    tokens, wanted = data["tokens"].to_numpy(), by_place(trace, "wanted").to_numpy()

    width = width_of(figure, width)
    figure = new_figure(figure, width, 4.2)
    upper, lower = axes = figure.subplots(2, 1, sharex=True)
    fill_segments(upper, edges, data["relevance"].to_numpy(), RELEVANCE)
    upper.set(ylabel="relevance\n(probability)", ylim=(0, 1.05))

    if (tokens < wanted).any():
        lower.stairs(wanted, edges, fill=True, color=WANTED, label="wanted")
        lower.legend(loc="lower right", bbox_to_anchor=(1, 0.95), frameon=False, fontsize="small")
    fill_segments(lower, edges, tokens, TOKENS)
    highest = max(1, int(tokens.max()), int(wanted.max()))
    lower.set(ylabel="memory tokens\nper segment", xlabel="time (s)", ylim=(0, 1.1 * highest))
    lower.set_xlim(edges[0], edges[-1])
    tidy(*axes)

    segments = f"{len(tokens)} segment" + ("s" if len(tokens) > 1 else "")
    ledger = f"{attrs['used']} of {attrs['budget']} tokens used, {segments}"
    heading(figure, width, trace.asked + interventions_note(trace.provenance))
    upper.set_title(
        title(trace.answer, 75, width), loc="left", fontsize="medium", fontweight="bold"
    )
    lower.set_title(
        title(f"{ledger} ({attrs['strategy']}, {attrs['mode']})", 105, width),
        loc="left",
        fontsize="small",
    )
    return figure.figure, axes
