"""Relevance, attention and effect of segments beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    PALE,
    RED,
    check_kind,
    edges_of,
    tidy,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tempo_lab.analysis.compare import Comparison

COLORS = {"relevance": RED, "attention": GREEN, "effect": BLUE}


def compare(
    result: Comparison, *, width: float = 9.0, disagreements: int = 3
) -> tuple[Figure, np.ndarray]:
    """Three measures of the same segments, and how well their rankings agree.

    Of one question, the measures are bars over the video's seconds, and the segments whose ranks
    lie furthest apart are shaded, with the ranks written above. Of several, each point is a
    segment, at its ranks. At the right, rank correlations with their intervals.

    Args:
        result: of `tempo_lab.analysis.compare`.
        width: in inches.
        disagreements: segments that are shaded.

    Returns:
        the figure and its axes, [measure or pair of them, then correlations].

    Raises:
        TraceError: it is no comparison.
    """
    from matplotlib import pyplot

    from tempo_lab.analysis.compare import Comparison

    data = check_kind(result, Comparison, "compare").data
    figure = pyplot.figure(figsize=(width, 5.4), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=[2, 1])
    single = len(np.unique(data["trace"])) == 1
    left = [figure.add_subplot(grid[0, 0])]
    left += [figure.add_subplot(grid[row, 0], sharex=left[0]) for row in (1, 2)]
    right = figure.add_subplot(grid[:, 1])
    if single:
        _time(left, result, disagreements)
    else:
        _scatter(left, data)
    about = result.provenance.get("of", result.provenance)
    _intervals(right, data, about["resampled"], single)
    asked = about["questions"]
    heading = f"{asked[0]} {about['answers'][0]}" if single else f"{len(asked)} questions"
    effect = "effect: {target} by {method}, {baseline}".format(**about["effect"])
    figure.suptitle(
        f"{title(heading, 95)}\n{title(effect, 95)}", x=0.01, ha="left", fontsize="medium"
    )
    return figure, np.array([*left, right])


def _time(axes: list[Axes], result: Comparison, disagreements: int) -> None:
    data, about = result.data, result.provenance.get("of", result.provenance)
    edges = edges_of(data["start"].to_numpy(), data["end"].to_numpy())
    units = {
        "relevance": "probability",
        "attention": "probability",
        "effect": about["target_units"],
    }
    apart = result.disagreements(disagreements).index
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
    axes[-1].set_xlabel("time (s); grey: ranks furthest apart, each written above")
    tidy(*axes)


def _scatter(axes: list[Axes], data: Any) -> None:
    for each, pair in zip(axes, data["pair"].to_numpy(), strict=True):
        one, other = str(pair).split(", ")
        points = data[f"{one}_rank"].to_numpy(), data[f"{other}_rank"].to_numpy()
        each.scatter(*points, s=16, color=BLUE, alpha=0.5, lw=0)
        each.set(ylabel=f"rank by\n{other}")
        each.set_xlabel(f"rank by {one} (1 the highest)", fontsize="small")
        each.invert_yaxis()
    axes[0].invert_xaxis()  # shared: the highest rank, 1, stands at the right and at the top
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
