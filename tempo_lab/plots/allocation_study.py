"""What each strategy would give, and what it is sensitive to."""

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
    RED,
    check_kind,
    edges_of,
    tidy,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = {
    "used": "tokens used",
    "outlier": "lost to an outlier\n(share of the others)",
    "faded": "still used at half the scores\n(share)",
    "tremble": "moved by a tremble of 0.01\n(share)",
}


def allocation_study(
    result: AllocationStudy, *, budget: int | None = None, width: float = 9.0
) -> tuple[Figure, np.ndarray]:
    """Tokens of each segment by strategy, and below what each strategy makes of every budget.

    Args:
        result: what to draw.
        budget: whose tokens are shown by segment; by default the trace's own, or the middle one.
        width: of the figure, in inches.

    Returns:
        the figure and its axes: [relevance, tokens by segment, used, outlier, faded, tremble].

    Raises:
        TraceError: it is no `AllocationStudy`, or has no such budget.
    """
    from matplotlib import pyplot

    result = check_kind(result, AllocationStudy, "allocation_study")
    data = result.data
    shown = _budget(result, budget)
    names = [str(name) for name in data["strategy"].to_numpy()]
    layout: Any = [["score"] * 4, ["tokens"] * 4, [*CURVES]]
    height = 3.9 + 0.27 * len(names)
    figure, drawn = pyplot.subplot_mosaic(
        layout,
        figsize=(width, height),
        height_ratios=[0.9, 0.27 * len(names), 2.0],
        layout="constrained",
    )
    upper, lower = drawn["score"], drawn["tokens"]
    edges = _edges(result)
    upper.stairs(data["score"], edges, fill=True, color=RED)
    upper.set(ylabel="relevance\n(probability)", ylim=(0, 1.05))
    upper.tick_params(labelbottom=False)
    _tokens(lower, edges, data["tokens"].sel(budget=shown).to_numpy(), names)
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
        f"memory tokens a segment, of a budget of {shown}", loc="left", fontsize="small"
    )
    for quantity, label in CURVES.items():
        _curves(drawn[quantity], result, quantity, names)
        drawn[quantity].set_title(label, loc="left", fontsize="small")
    tidy(upper, *(drawn[quantity] for quantity in CURVES))
    handles, labels = drawn["used"].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(names), frameon=False,
        fontsize="small",
    )  # fmt: skip
    about = result.provenance.get("question", f"{data.sizes['segment']} scores")
    figure.suptitle(title(str(about), 95), x=0.01, ha="left", fontsize="medium")
    return figure, np.array([upper, lower, *(drawn[quantity] for quantity in CURVES)])


def _budget(result: AllocationStudy, asked: int | None) -> int:
    there = result.data["budget"].to_numpy()
    own = result.provenance.get("own_budget")
    if asked is None:
        return int(there[len(there) // 2] if own is None or own not in there else own)
    if asked not in there:
        raise TraceError(
            "this budget was not studied",
            asked=asked,
            found=", ".join(map(str, there)),
            fix=f"allocation_study(..., budgets=[{asked}])",
        )
    return asked


def _edges(result: AllocationStudy) -> np.ndarray:
    """Where segments meet, [segment + 1], in seconds where they are known."""
    data = result.data
    if "start" in data:
        return edges_of(data["start"].to_numpy(), data["end"].to_numpy())
    return np.arange(data.sizes["segment"] + 1) - 0.5


def _tokens(axes: Axes, edges: np.ndarray, tokens: np.ndarray, names: list[str]) -> None:
    """Tokens [strategy, segment] as colours; the first strategy is uppermost."""
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
    """One line a strategy over budgets, in tokens a segment; lines below others are wider."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    each = result.data["budget"].to_numpy() / result.data.sizes["segment"]
    for number, name in enumerate(names):
        values = result.data[quantity].sel(strategy=name)
        color, marker = CYCLE[number % len(CYCLE)], MARKERS[number % len(MARKERS)]
        below = 1 - number / len(names)
        size: dict[str, Any] = {"ms": 3.5 + 4 * below, "lw": 1 + 3.5 * below}
        axes.plot(each, values, color=color, marker=marker, mew=0, label=name, **size)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("budget (tokens a segment)", fontsize="small")
