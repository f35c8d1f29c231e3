"""Another allocation of the same scores, beside the one that was used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import BLACK, BLUE, PALE, RED, edges_of, spans, tidy, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.allocation.ata import Allocation
    from tempo_lab.trace.trace import Trace


def routing(
    trace: Trace, allocation: Allocation, *, width: float = 9.0
) -> tuple[Figure, np.ndarray]:
    """What another allocation gives, in bars, and what the trace's gave, as a line.

    Pale bars show what segments wanted where the budget gave less.

    Args:
        trace: a question and the scores that shared its budget.
        allocation: of the same scores, from `tempo_lab.allocate`.
        width: of the figure, in inches.

    Returns:
        the figure and its two axes, [scores, tokens].

    Raises:
        TraceError: the allocation is of other segments.
    """
    from matplotlib import pyplot

    data = trace.data
    if len(allocation) != data.sizes["segment"]:
        raise TraceError(
            "the allocation is of another video",
            asked=f"{len(allocation)} segments",
            found=f"{data.sizes['segment']} segments in the trace",
            fix="allocate(trace.data['score'], ...)",
        )
    edges = edges_of(data["start"].to_numpy(), data["end"].to_numpy())
    before, tokens, wanted = data["tokens"].to_numpy(), allocation.tokens, allocation.wanted

    figure, axes = pyplot.subplots(2, 1, sharex=True, figsize=(width, 4.4), layout="constrained")
    upper, lower = axes
    spans(upper, edges, allocation.scores, RED)
    upper.set(ylabel="score", ylim=(min(0, allocation.scores.min()), None))
    if allocation.scores.max() <= 1:
        upper.set_ylim(top=1.05)

    if (tokens < wanted).any():
        lower.stairs(wanted, edges, fill=True, color=PALE, label="wanted")
    lower.stairs(tokens, edges, fill=True, color=BLUE, label="given now")
    spans(lower, edges, tokens, BLUE)
    lower.stairs(before, edges, color=BLACK, linewidth=1.6, linestyle="--", label="as asked")
    highest = max(1, *map(int, (tokens.max(), wanted.max(), before.max())))
    lower.set(ylabel="memory tokens\na segment", xlabel="time (s)", ylim=(0, 1.1 * highest))
    lower.set_xlim(edges[0], edges[-1])
    figure.legend(
        *lower.get_legend_handles_labels(), loc="outside lower right", frameon=False, ncols=3,
        fontsize="small",
    )  # fmt: skip
    tidy(*axes)
    figure.suptitle(title(trace.question, 95), x=0.01, ha="left", fontsize="medium")
    told = trace.data.attrs
    for each, text in (
        (upper, f"As asked: {told['used']} of {told['budget']} tokens ({told['strategy']})"),
        (lower, f"Now: {allocation.used} of {allocation.budget} tokens ({allocation.strategy})"),
    ):
        each.set_title(title(text, 95), loc="left", fontsize="small")
    return figure, axes
