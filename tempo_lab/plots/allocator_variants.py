"""Scores under variants of the allocator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.allocator_variants import AllocatorVariants
from tempo_lab.plots.style import (
    BLACK,
    CYCLE,
    MARKERS,
    check_result,
    error_bars,
    legend_below,
    side_by_side,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def allocator_variants(
    result: AllocatorVariants,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw score, gain over the first arm, and tokens used, by kind of question.

    Bars are 95 % bootstrap intervals over videos; a single video has none.

    Args:
        result: what to draw.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [3], [score, gain, tokens].

    Raises:
        TraceError: it is not an `AllocatorVariants`.
    """
    data = check_result(result, AllocatorVariants, "allocator_variants").data
    width = width_of(figure, width)
    figure, axes = side_by_side(figure, width, 3.6, 3)
    score, gain, tokens = axes
    arms = [str(arm) for arm in data["arm"].to_numpy()]
    shifts = np.linspace(-0.3, 0.3, len(arms)) if len(arms) > 1 else [0.0]
    for number, (arm, shift) in enumerate(zip(arms, shifts, strict=True)):
        row = data.sel(arm=arm)
        x = np.arange(data.sizes["kind"]) + shift
        look = {
            "color": CYCLE[number % len(CYCLE)],
            "marker": MARKERS[number % len(MARKERS)],
            "label": arm,
        }
        for ax, value, low, high in (
            (score, "mean", "low", "high"),
            (gain, "gain", "gain_low", "gain_high"),
        ):
            if ax is gain and not number:
                continue  # the arm that the others are compared with
            bars = error_bars(row[value], row[low], row[high])
            ax.errorbar(x, row[value], bars, ls="", capsize=2, **look)
        tokens.plot(x, row["tokens"], ls="", **look)
    score.set(ylabel="score", ylim=(-0.03, 1.05))
    gain.axhline(0, color=BLACK, lw=0.8)
    gain.set(ylabel=f"score minus that of\n{arms[0]}")
    tokens.margins(y=0.1)
    tokens.set(ylabel="memory tokens per segment", ylim=(0, None))
    for ax in axes:
        _label_kinds(ax, result)
    tidy(*axes)
    legend_below(figure, width, *score.get_legend_handles_labels())
    return figure.figure, axes


def _label_kinds(ax: Axes, result: AllocatorVariants) -> None:
    data = result.data
    counts = zip(data["kind"].to_numpy(), data["questions"].to_numpy(), strict=True)
    labels = [f"{kind}\n({count})" for kind, count in counts]
    ax.set_xticks(range(len(labels)), labels)
    ax.set_xlim(-0.5, len(labels) - 0.5)
    ax.set_xlabel("kind (questions)")
