"""Answers against tokens, by way of sharing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.rivals import Rivals
from tempo_lab.common.errors import TraceError, did_you_mean
from tempo_lab.plots.style import BLACK, HOLLOW, STYLES, check_result, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rivals(
    result: Rivals, *, kinds: Sequence[str] | None = None, width: float = 9.0
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
        TraceError: it is no `Rivals`, or has no such kind.
    """
    from matplotlib import pyplot

    data = check_result(result, Rivals, "rivals").data
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
    families = data["family"].to_numpy()
    order = [name for name in STYLES if name in families]
    order += [str(name) for name in dict.fromkeys(families) if name not in STYLES]
    for each, kind in zip(axes[0], shown, strict=True):
        part = data.sel(kind=kind)
        for height, name in enumerate(reversed(order), start=3):
            line = part.isel(arm=families == name).sortby("tokens")
            color, marker = STYLES.get(name, (BLACK, "x"))
            reach = np.stack([line["mean"] - line["low"], line["high"] - line["mean"]])
            each.errorbar(
                line["tokens"], line["mean"], np.nan_to_num(reach).clip(0), color=color,
                marker=marker, ms=10 if marker == "*" else 6, lw=1.5, elinewidth=0.7, label=name,
                zorder=height, markerfacecolor="white" if name in HOLLOW else color,
            )  # fmt: skip
        least, most = float(part["tokens"].min()), float(part["tokens"].max())
        ticks = 2.0 ** np.arange(np.floor(np.log2(least)), np.log2(most) + 0.01)
        each.set_xscale("log", base=2)
        each.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        many = f"{kind} ({int(part['questions'])} questions)"
        each.set_title(many, loc="left", fontsize="medium")
        each.set(xlabel="memory tokens used, a segment", ylim=(-0.03, 1.05))
    axes[0, 0].set_ylabel("score")
    tidy(*axes[0])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside right center", frameon=False, fontsize="small"
    )
    return figure, axes[0]
