"""Answers under allocators of different strictness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.strictness import Strictness
from tempo_lab.plots.style import BLACK, CYCLE, MARKERS, check_result, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def strictness(result: Strictness, *, width: float = 9.0) -> tuple[Figure, np.ndarray]:
    """Score, gain over the first arm, and tokens used, by kind of question.

    Bars are 95 % bootstrap intervals over videos; there are none for a single video.

    Args:
        result: what to draw.
        width: of the figure, in inches.

    Returns:
        the figure and its axes, [score, gain, tokens].

    Raises:
        TraceError: it is no `Strictness`.
    """
    from matplotlib import pyplot

    data = check_result(result, Strictness, "strictness").data
    figure, axes = pyplot.subplots(1, 3, figsize=(width, 3.6), layout="constrained")
    arms = [str(arm) for arm in data["arm"].to_numpy()]
    shifts = np.linspace(-0.3, 0.3, len(arms)) if len(arms) > 1 else [0.0]
    for number, (arm, shift) in enumerate(zip(arms, shifts, strict=True)):
        row = data.sel(arm=arm)
        x = np.arange(data.sizes["kind"]) + shift
        style = {
            "color": CYCLE[number % len(CYCLE)],
            "marker": MARKERS[number % len(MARKERS)],
            "label": arm,
        }
        for each, value, low, high in (
            (axes[0], "mean", "low", "high"),
            (axes[1], "gain", "gain_low", "gain_high"),
        ):
            if each is axes[1] and not number:
                continue  # the one that the others are compared with
            reach = np.stack([row[value] - row[low], row[high] - row[value]])
            each.errorbar(x, row[value], np.nan_to_num(reach).clip(0), ls="", capsize=2, **style)
        axes[2].plot(x, row["tokens"], ls="", **style)
    axes[0].set(ylabel="score", ylim=(-0.03, 1.05))
    axes[1].axhline(0, color=BLACK, lw=0.8)
    axes[1].set(ylabel=f"score less that of\n{arms[0]}")
    axes[2].set(ylabel="memory tokens a segment", ylim=(0, None))
    for each in axes:
        _kinds(each, result)
    tidy(*axes)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(arms), frameon=False,
        fontsize="small",
    )  # fmt: skip
    return figure, axes


def _kinds(axes: Axes, result: Strictness) -> None:
    data = result.data
    counts = zip(data["kind"].to_numpy(), data["questions"].to_numpy(), strict=True)
    labels = [f"{kind}\n({count})" for kind, count in counts]
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_xlabel("kind (questions)")
