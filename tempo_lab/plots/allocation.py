"""Where the tokens went."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.validation import by_place
from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import BLUE, PALE, RED, edges_of, spans, tidy, title, told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.trace.trace import Trace


def allocation(trace: Trace, *, width: float = 9.0) -> tuple[Figure, np.ndarray]:
    """Where the tokens went: relevance above, memory tokens below, over the video's seconds.

    Each bar spans its segment. Pale bars show what segments wanted where the budget gave less.
    Tokens stand where the LLM reads them, also where an intervention swapped segments.

    Args:
        trace: what to draw.
        width: of the figure, in inches.

    Returns:
        the figure and its two axes, [relevance, tokens].

    Raises:
        TraceError: it is no trace.
    """
    from matplotlib import pyplot

    from tempo_lab.trace.trace import Trace

    if not isinstance(trace, Trace):
        raise TraceError(
            "a figure is drawn of a trace",
            asked=repr(trace),
            found=type(trace).__name__,
            fix=f"tempo_lab.Trace.load({str(trace)!r})"
            if isinstance(trace, str | PathLike)
            else "give what `Session.ask` returned",
        )
    data, attrs = trace.data, trace.data.attrs
    edges = edges_of(data["start"].to_numpy(), data["end"].to_numpy())
    tokens, wanted = data["tokens"].to_numpy(), by_place(trace, "wanted").to_numpy()

    figure, axes = pyplot.subplots(2, 1, sharex=True, figsize=(width, 4.2), layout="constrained")
    upper, lower = axes
    spans(upper, edges, data["relevance"].to_numpy(), RED)
    upper.set(ylabel="relevance\n(probability)", ylim=(0, 1.05))

    if (tokens < wanted).any():
        lower.stairs(wanted, edges, fill=True, color=PALE, label="wanted")
        lower.legend(loc="lower right", bbox_to_anchor=(1, 0.95), frameon=False, fontsize="small")
    spans(lower, edges, tokens, BLUE)
    highest = max(1, int(tokens.max()), int(wanted.max()))
    lower.set(ylabel="memory tokens\na segment", xlabel="time (s)", ylim=(0, 1.1 * highest))
    lower.set_xlim(edges[0], edges[-1])
    tidy(*axes)

    segments = f"{len(tokens)} segment" + ("s" if len(tokens) > 1 else "")
    ledger = f"{attrs['used']} of {attrs['budget']} tokens used, {segments}"
    asked = trace.question + told(trace.provenance)
    figure.suptitle(title(asked, 95), x=0.01, ha="left", fontsize="medium")
    upper.set_title(title(trace.answer, 75), loc="left", fontsize="medium", fontweight="bold")
    lower.set_title(
        f"{ledger} ({attrs['strategy']}, {attrs['mode']})", loc="left", fontsize="small"
    )
    return figure, axes
