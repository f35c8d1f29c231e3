"""Scores over the number of tokens used: one panel, for all figures that show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tempo_lab.plots.style import BLACK, HOLLOW, NARROW, STYLES, error_bars, legend_below, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

ABOVE_GRID = 3
"""zorder of the lowest line."""


def in_order(families: pd.Series) -> list[str]:
    """Return the families of arms in the order of `STYLES`, those without a style last."""
    present = dict.fromkeys(map(str, families))
    return [name for name in STYLES if name in present] + [n for n in present if n not in STYLES]


def score_over_tokens(ax: Axes, arms: pd.DataFrame) -> None:
    """Draw one line per family of arms, over a logarithmic axis of tokens, with intervals as bars.

    Args:
        ax: the panel.
        arms: a row per arm, with the columns family, tokens, score, score_low and score_high.
    """
    for height, family in enumerate(reversed(in_order(arms["family"])), start=ABOVE_GRID):
        line = arms[arms["family"] == family].sort_values("tokens")
        color, marker = STYLES.get(family, (BLACK, "x"))
        bars = error_bars(line["score"], line["score_low"], line["score_high"])
        ax.errorbar(
            line["tokens"], line["score"], bars, color=color, marker=marker,
            ms=10 if marker == "*" else 6, lw=1.5, elinewidth=0.7, label=family, zorder=height,
            markerfacecolor="white" if family in HOLLOW else color,
        )  # fmt: skip
    tokens_axis(ax, arms["tokens"])
    ax.set(xlabel="memory tokens used per segment", ylim=(-0.03, 1.05))


def tokens_axis(ax: Axes, tokens: pd.Series) -> None:
    """Make the x axis logarithmic, with ticks at the powers of two that these numbers span."""
    if tokens.notna().any():
        ticks = 2.0 ** np.arange(np.floor(np.log2(tokens.min())), np.log2(tokens.max()) + 0.01)
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def legend_beside(figure: Figure | SubFigure, axes: np.ndarray) -> None:
    """Write one legend with every label once, right of all panels, or below if it is narrow."""
    handles: dict[str, Any] = {}
    for ax in axes.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if not handles:
        return
    order = in_order(pd.Series(list(handles)))
    ordered = [handles[label] for label in order]
    width = width_of(figure, None)
    if width < NARROW:
        legend_below(figure, width, ordered, order)
    else:
        figure.legend(ordered, order, loc="outside right center", frameon=False, fontsize="small")
