"""Answers against tokens, by way of sharing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.baselines import Baselines
from tempo_lab.common.errors import TraceError, did_you_mean
from tempo_lab.plots.score_over_tokens import legend_beside, score_over_tokens
from tempo_lab.plots.style import check_kind, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def baselines(
    result: Baselines, *, kinds: Sequence[str] | None = None, width: float = 9.0
) -> tuple[Figure, np.ndarray]:
    """Score over the tokens that were really used, a panel for each kind of question.

    A line joins one way of sharing at growing budgets. Bars are 95 % bootstrap intervals over
    videos; there are none for a single video. Hollow are the control and the ceiling, which know
    nothing and everything.

    Args:
        result: what to draw.
        kinds: of questions; by default all.
        width: of the figure, in inches.

    Returns:
        the figure and its axes, one a kind.

    Raises:
        TraceError: it is no `Baselines`, or has no such kind.
    """
    from matplotlib import pyplot

    data = check_kind(result, Baselines, "baselines").data
    there = [str(kind) for kind in data["kind"].to_numpy()]
    shown = there if kinds is None else list(kinds)
    for kind in shown:
        if kind not in there:
            raise TraceError(
                "no such kind of question was asked",
                asked=repr(kind),
                found=", ".join(there),
                fix=did_you_mean(kind, there, "one of these"),
            )
    figure, axes = pyplot.subplots(
        1, len(shown), figsize=(width, 4.0), sharey=True, squeeze=False, layout="constrained"
    )
    arms = data[["family", "tokens", "mean", "low", "high"]].rename(
        mean="score", low="score_low", high="score_high"
    )
    for ax, kind in zip(axes[0], shown, strict=True):
        part = data.sel(kind=kind)
        score_over_tokens(ax, arms.sel(kind=kind).to_dataframe())
        many = f"{kind} ({int(part['questions'])} questions)"
        ax.set_title(many, loc="left", fontsize="medium")
    axes[0, 0].set_ylabel("score")
    tidy(*axes[0])
    legend_beside(figure, axes)
    return figure, axes[0]
