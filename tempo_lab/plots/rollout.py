"""Attention rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.rollout import Rollout
from tempo_lab.plots.style import MAP, check_kind, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rollout(result: Rollout, *, width: float = 9.0) -> tuple[Figure, Axes]:
    """Where each row comes from by rollout, by key group.

    `attention_overlay` draws its patches on the frames.

    Args:
        result: of `tempo_lab.analysis.rollout`.
        width: of the figure, in inches.

    Returns:
        the figure and its axes.

    Raises:
        TraceError: it is another result.
    """
    from matplotlib import pyplot

    result = check_kind(result, Rollout, "rollout")
    values, about = result.data["mass"].to_numpy(), result.provenance
    difference = bool(about.get("difference"))
    rows = [str(row) for row in result.data["row"].to_numpy()]
    height = 2.0 + min(8.0, 0.22 * len(rows))
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    most = np.abs(values).max()
    image = axes.imshow(
        values, aspect="auto", cmap="RdBu_r" if difference else MAP,
        vmin=-most if difference else 0, vmax=most,
    )  # fmt: skip
    groups = [str(name) for name in result.data["key_group"].to_numpy()]
    step = -(-len(rows) // 32)
    axes.set_xticks(range(len(groups)), groups, rotation=45, ha="right", fontsize="small")
    axes.set_yticks(range(0, len(rows), step), rows[::step], fontsize="small")
    axes.set(xlabel="key group", ylabel="row")
    figure.colorbar(image, ax=axes, label="change of share" if difference else "share of the row")
    what = f"Attention rollout (a heuristic, not a causal effect), segment {about.get('segment')}"
    axes.set_title(what, loc="left", fontsize="small")
    figure.suptitle(title(about.get("question", ""), 95), x=0.01, ha="left", fontsize="medium")
    return figure, axes
