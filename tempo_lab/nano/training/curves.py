"""Plot the training curves of a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

AVERAGED = 5
"""Number of logged rows (of 25 steps each) over which curves are averaged."""

NO_SHARES = (
    "loss", "naming loss", "happening loss", "hint", "date", "answers", "written", "recalled",
    "svlm", "segments",
)  # fmt: skip
"""Logged values that are not shares of right answers."""

NAMED = ("#D55E00", "#E69F00", "#009E73")
"""Colors of the two lowest curves and the one that rose most; color-blind readers can tell them
apart."""


def training_figure(folder: Path, stages: tuple[str, ...]) -> tuple[Figure, list[Axes]]:
    """Plot every logged share of right answers over the steps of each stage.

    Args:
        folder: the run's folder, with ``STAGE.csv`` files; stages without one are left out.
        stages: names of the stages, in order.

    Returns:
        The figure and one pair of axes for each stage that has begun.
    """
    logs = {n: pd.read_csv(folder / f"{n}.csv") for n in stages if (folder / f"{n}.csv").exists()}
    logs = {name: log for name, log in logs.items() if len(log)}
    columns = min(2, max(1, len(logs)))
    rows = -(-max(1, len(logs)) // columns)
    figure = Figure(figsize=(9, 3.1 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax, (name, log) in zip(axes, logs.items(), strict=False):
        wide = log.pivot_table(index="step", columns="name", values="value")
        wide = wide.drop(columns=[name for name in NO_SHARES if name in wide])
        smooth = wide.rolling(AVERAGED, min_periods=1).mean()
        ax.plot(smooth.index, smooth, color="0.7", linewidth=0.8)
        ax.plot(smooth.index, smooth.mean(axis=1), color="black", linewidth=2, label="mean")
        last = smooth.iloc[-1].sort_values()
        kinds = dict.fromkeys([*last.index[:2], (last - smooth.bfill().iloc[0]).idxmax()])
        for kind, color in zip(kinds, NAMED, strict=False):
            label = f"{kind} {last[kind]:.2f}"
            ax.plot(smooth.index, smooth[kind], color=color, linewidth=1.2, label=label)
        minutes = float(log["seconds"].max()) / 60
        ax.set(title=f"{name} ({minutes:.0f} minutes)", xlabel="step", ylabel="share right")
        ax.set_ylim(0, 1.02)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=4, fontsize=7, frameon=False)
    for ax in axes[len(logs) :]:
        ax.remove()
    return figure, axes[: len(logs)]
