"""Relevance, attention and effect of segments, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.plots.style import (
    ATTENTION,
    BLACK,
    NARROW,
    PALE,
    RELEVANCE,
    SKY,
    check_result,
    heading,
    new_figure,
    segment_edges,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.analysis.compare import Comparison

COLORS = {"relevance": RELEVANCE, "attention": ATTENTION, "effect": SKY}


@renamed_keywords(disagreements="top_k")
def compare(
    result: Comparison,
    *,
    width: float | None = None,
    top_k: int = 3,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw three measures of the same segments, and how well their rankings agree.

    For one question, the measures are bars over the video's seconds; the segments whose ranks
    differ most are shaded, with their ranks above. For several questions, each point is a segment,
    at its ranks. In the last axes: rank correlations with their intervals.

    Args:
        result: of `tempo_lab.analysis.compare`.
        width: of the figure, in inches.
        top_k: number of segments that are shaded.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [4], [three measures, or three pairs of them; correlations].

    Raises:
        TraceError: it is not a comparison.
    """
    from tempo_lab.analysis.compare import Comparison

    data = check_result(result, Comparison, "compare").data
    width = width_of(figure, width)
    if width < NARROW:
        figure = new_figure(figure, width, 7.6)
        grid = figure.add_gridspec(5, 1)
        places, last = [grid[row] for row in range(3)], grid[3:]
    else:
        figure = new_figure(figure, width, 5.4)
        grid = figure.add_gridspec(3, 2, width_ratios=[2, 1])
        places, last = [grid[row, 0] for row in range(3)], grid[:, 1]
    single = len(np.unique(data["trace"])) == 1
    measures = [figure.add_subplot(places[0])]
    measures += [figure.add_subplot(place, sharex=measures[0]) for place in places[1:]]
    correlations = figure.add_subplot(last)
    if single:
        _time(measures, result, top_k)
    else:
        _scatter(measures, data)
    about = result.provenance.get("of", result.provenance)
    _intervals(correlations, data, about["resampled"], single)
    questions = about["questions"]
    question = f"{questions[0]} {about['answers'][0]}" if single else f"{len(questions)} questions"
    effect = "effect: {target} by {method}, {baseline}".format(**about["effect"])
    heading(figure, width, question, effect)
    return figure.figure, np.array([*measures, correlations])


def _time(axes: list[Axes], result: Comparison, top_k: int) -> None:
    data, about = result.data, result.provenance.get("of", result.provenance)
    edges = segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
    units = {
        "relevance": "probability",
        "attention": "probability",
        "effect": about["target_units"],
    }
    apart = result.disagreements(top_k).index
    for each, (name, color) in zip(axes, COLORS.items(), strict=True):
        for segment in apart:
            each.axvspan(edges[segment], edges[segment + 1], color=PALE, alpha=0.5, lw=0)
            each.annotate(
                f"{data[f'{name}_rank'].to_numpy()[segment]:g}",
                (edges[segment : segment + 2].mean(), 1),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                fontsize="small",
            )
        each.bar(
            edges[:-1], data[name].to_numpy(), np.diff(edges), align="edge", color=color,
            ec="white", lw=0.7,
        )  # fmt: skip
        each.axhline(0, color=BLACK, lw=0.8)
        each.set(ylabel=f"{name}\n({units[name]})", xlim=(edges[0], edges[-1]))
    axes[-1].set_xlabel("time (s)\ngrey: ranks differ most, written above")
    tidy(*axes)


def _scatter(axes: list[Axes], data: Any) -> None:
    for each, pair in zip(axes, data["pair"].to_numpy(), strict=True):
        one, other = str(pair).split(", ")
        points = data[f"{one}_rank"].to_numpy(), data[f"{other}_rank"].to_numpy()
        each.scatter(*points, s=16, color=BLACK, alpha=0.4, lw=0)
        each.set(ylabel=f"rank by\n{other}")
        each.set_xlabel(f"rank by {one} (1 the highest)", fontsize="small")
        each.invert_yaxis()
    axes[0].invert_xaxis()  # shared: the highest rank, 1, is at the right and at the top
    tidy(*axes)


def _intervals(axes: Axes, data: Any, over: str, single: bool) -> None:
    height = -np.arange(data.sizes["pair"])
    rho, low, high = (data[name].to_numpy() for name in ("correlation", "low", "high"))
    axes.axvline(0, color=PALE, lw=1)
    axes.hlines(height, low, high, color=BLACK, lw=1.5)
    axes.scatter(rho, height, color=BLACK, s=36, zorder=3)
    shares = data["same_first"].to_numpy()
    for at, value, share, name in zip(height, rho, shares, data["pair"].to_numpy(), strict=True):
        same = f"{share:.0%} of questions"
        if single:
            same = "yes" if share else "no"
        axes.annotate(
            f"{str(name).replace(', ', ' and ')}: {value:.2f}\nsame highest segment: {same}",
            (-1, at), xytext=(0, 10), textcoords="offset points", fontsize="small",
        )  # fmt: skip
    axes.set(xlim=(-1.02, 1.02), ylim=(height[-1] - 0.5, 0.7), yticks=[])
    axes.set_xlabel(f"rank correlation (Spearman),\n95 % interval: bootstrap\nover {over}")
    tidy(axes)
    axes.spines["left"].set_visible(False)
