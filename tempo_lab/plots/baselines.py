"""Scores over memory tokens, by allocation strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.baselines import Baselines
from tempo_lab.common.errors import TraceError, did_you_mean
from tempo_lab.plots.score_over_tokens import legend_beside, score_over_tokens
from tempo_lab.plots.style import check_result, side_by_side, tidy, width_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure


def baselines(
    result: Baselines,
    *,
    kinds: Sequence[str] | None = None,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw scores over the number of tokens used, one panel per kind of question.

    A line connects one strategy at growing budgets. Bars are 95 % bootstrap intervals over videos;
    a single video has none. Hollow markers are the control and the ceiling.

    Args:
        result: what to draw.
        kinds: of questions; by default all.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [kind].

    Raises:
        TraceError: it is not a `Baselines`, or has no such kind.
    """
    data = check_result(result, Baselines, "baselines").data
    known = [str(kind) for kind in data["kind"].to_numpy()]
    shown = known if kinds is None else list(kinds)
    for kind in shown:
        if kind not in known:
            raise TraceError(
                "the result has no questions of this kind",
                asked=repr(kind),
                found=", ".join(known),
                fix=did_you_mean(kind, known, "use one of these"),
            )
    width = width_of(figure, width)
    figure, axes = side_by_side(figure, width, 4.0, len(shown), sharey=True)
    arms = data[["family", "tokens", "mean", "low", "high"]].rename(
        mean="score", low="score_low", high="score_high"
    )
    for ax, kind in zip(axes, shown, strict=True):
        score_over_tokens(ax, arms.sel(kind=kind).to_dataframe())
        questions = f"{kind} ({int(data['questions'].sel(kind=kind))} questions)"
        ax.set_title(questions, loc="left", fontsize="medium")
    axes[0].set_ylabel("score")
    tidy(*axes)
    legend_beside(figure, axes)
    return figure.figure, axes
