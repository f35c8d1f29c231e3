"""The allocation of each strategy, and how sensitive it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.analysis.allocation_study import AllocationStudy
from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import (
    AROUND_ZERO,
    BLACK,
    CYCLE,
    MAP,
    MARKERS,
    NARROW,
    RELEVANCE,
    check_result,
    heading,
    legend_below,
    new_figure,
    segment_edges,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

CURVES = {
    "used": "tokens used",
    "outlier": "lost to an outlier\n(share of the others)",
    "faded": "still used at half\nthe scores (share)",
    "moved_by_noise": "moved by noise\nof 0.01 (share)",
}


def allocation_study(
    result: AllocationStudy,
    *,
    budget: int | None = None,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw tokens per segment by strategy, and below, each strategy's measures over budgets.

    Args:
        result: what to draw.
        budget: budget of the tokens per segment; by default the trace's own, or the middle one.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [6], [relevance, tokens, used, outlier, faded, moved_by_noise].

    Raises:
        TraceError: it is not an `AllocationStudy`, or it does not have this budget.
    """
    result = check_result(result, AllocationStudy, "allocation_study")
    data = result.data
    budget = _budget(result, budget)
    names = [str(name) for name in data["strategy"].to_numpy()]
    width = width_of(figure, width)
    curves = [*CURVES]
    rows: Any = [curves[:2], curves[2:]] if width < NARROW else [curves]
    heights = [0.9, 0.27 * len(names)]
    figure = new_figure(figure, width, sum(heights) + 2.2 * len(rows) + 0.8)
    ratios = [sum(heights) + 0.5, 2.2 * len(rows)]
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=ratios)[:, 0]
    upper, lower = above.subplots(2, 1, height_ratios=heights)
    drawn: dict[str, Axes] = below.subplot_mosaic(rows)
    edges = _edges(result)
    upper.stairs(data["score"], edges, fill=True, color=RELEVANCE)
    upper.set(ylabel="relevance\n(probability)", ylim=(0, 1.05))
    upper.tick_params(labelbottom=False)
    _tokens(lower, edges, data["tokens"].sel(budget=budget).to_numpy(), names)
    for each in (upper, lower):
        each.set_xlim(edges[0], edges[-1])
    if "evidence" in data:
        middle = (edges[:-1] + edges[1:])[data["evidence"].to_numpy()] / 2
        upper.plot(
            middle, np.full(len(middle), 1.04), "v", color=BLACK, ms=5, label="evidence",
            clip_on=False,
        )  # fmt: skip
        upper.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")
    lower.set_xlabel("time (s)" if "start" in data else "segment")
    lower.set_title(
        f"memory tokens per segment, of a budget of {budget}", loc="left", fontsize="small"
    )
    for quantity, label in CURVES.items():
        _curves(drawn[quantity], result, quantity, names)
        drawn[quantity].set_title(label, loc="left", fontsize="small")
    tidy(upper, *(drawn[quantity] for quantity in CURVES))
    legend_below(below, width, *drawn["used"].get_legend_handles_labels())
    about = result.provenance.get("question", f"{data.sizes['segment']} scores")
    heading(figure, width, str(about))
    return figure.figure, np.array([upper, lower, *(drawn[quantity] for quantity in CURVES)])


def _budget(result: AllocationStudy, budget: int | None) -> int:
    budgets = result.data["budget"].to_numpy()
    own = result.provenance.get("own_budget")
    if budget is None:
        return int(budgets[len(budgets) // 2] if own is None or own not in budgets else own)
    if budget not in budgets:
        raise TraceError(
            "the study has no results for this budget",
            asked=budget,
            found=", ".join(map(str, budgets)),
            fix=f"allocation_study(..., budgets=[{budget}])",
        )
    return budget


def _edges(result: AllocationStudy) -> np.ndarray:
    """Return where segments meet, [segment + 1], in seconds if they are known."""
    data = result.data
    if "start" in data:
        return segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
    return np.arange(data.sizes["segment"] + 1) - 0.5


def _tokens(axes: Axes, edges: np.ndarray, tokens: np.ndarray, names: list[str]) -> None:
    """Draw tokens [strategy, segment] as colors, the first strategy on top."""
    rows = np.arange(len(names) + 1) - 0.5
    highest = max(1, int(np.abs(tokens).max()))
    signed = bool((tokens < 0).any())  # a difference of two studies
    mesh = axes.pcolormesh(
        edges, rows, tokens, cmap=AROUND_ZERO if signed else MAP, vmin=-highest if signed else 0,
        vmax=highest,
    )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.hlines(rows[1:-1], edges[0], edges[-1], color="white", lw=1.5)
    axes.figure.colorbar(mesh, ax=axes, label="tokens", pad=0.01, aspect=10)


def _curves(axes: Axes, result: AllocationStudy, quantity: str, names: list[str]) -> None:
    """Draw one line per strategy over budgets; lines below others are wider."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    budgets = result.data["budget"].to_numpy() / result.data.sizes["segment"]
    for number, name in enumerate(names):
        values = result.data[quantity].sel(strategy=name)
        color, marker = CYCLE[number % len(CYCLE)], MARKERS[number % len(MARKERS)]
        below = 1 - number / len(names)
        size: dict[str, Any] = {"ms": 3.5 + 4 * below, "lw": 1 + 3.5 * below}
        axes.plot(budgets, values, color=color, marker=marker, mew=0, label=name, **size)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("budget\n(tokens per segment)", fontsize="small")
