"""Attention rollout by key group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.rollout import Rollout
from tempo_lab.plots.style import AROUND_ZERO, MAP, check_result, new_axes, title, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rollout(
    result: Rollout, *, width: float | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the share of each key group in each row, by attention rollout.

    `attention_overlay` draws the rollout's patches on the frames.

    Args:
        result: of `tempo_lab.analysis.rollout`.
        width: of the figure, in inches.
        ax: axes to draw in, instead of a new figure; the color bar takes room from them.

    Returns:
        the figure and its axes.

    Raises:
        TraceError: it is another result.
    """
    result = check_result(result, Rollout, "rollout")
    values, about = result.data["mass"].to_numpy(), result.provenance
    difference = bool(about.get("difference"))
    rows = [str(row) for row in result.data["row"].to_numpy()]
    width = width_of(ax, width)
    axes = new_axes(ax, width, 2.0 + min(8.0, 0.22 * len(rows)))
    highest = np.abs(values).max()
    image = axes.imshow(
        values, aspect="auto", cmap=AROUND_ZERO if difference else MAP,
        vmin=-highest if difference else 0, vmax=highest,
    )  # fmt: skip
    groups = [str(name) for name in result.data["key_group"].to_numpy()]
    step = -(-len(rows) // 32)
    axes.set_xticks(range(len(groups)), groups, rotation=45, ha="right", fontsize="small")
    axes.set_yticks(range(0, len(rows), step), rows[::step], fontsize="small")
    axes.set(xlabel="key group", ylabel="row")
    label = "change of share" if difference else "share of the row"
    axes.figure.colorbar(image, ax=axes, label=label)
    method = f"Attention rollout (a heuristic, not a causal effect), segment {about.get('segment')}"
    lines = [
        title(line, 100, width - 1.0, lines=3) for line in (str(about.get("question", "")), method)
    ]
    axes.set_title("\n".join(lines), loc="left", fontsize="medium")
    return axes.figure.figure, axes
