"""The arms of an evaluation with their 95 % intervals: accuracy over tokens, or the prior."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.text import one_line
from tempo_lab.plots.style import (
    BLACK,
    CYCLE,
    FONT,
    GREY,
    HOLLOW,
    MARKERS,
    STYLES,
    error_bars,
    new_axes,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tempo_lab.evaluation.run_folder import EvaluationRun

FAMILIES = {
    "head": "ATA head", "tail": "ATA tail", "random": "ATA random", "tome": "ATA ToMe",
    "uniform": "uniform head", "uniform-tome": "uniform ToMe", "topk": "top-k",
    "all": "all tokens", "none": "all tokens", "sparse": "sparse frames",
    "shuffled": "shuffled scores", "oracle": "oracle routing",
}  # fmt: skip
"""Names of arms in figures, as in all other figures that compare allocations."""
PRIOR_MEASURES = {"auroc": "AUROC", "average_precision": "average precision", "hit@1": "hit@1"}
ABOVE_GRID = 3
"""zorder of the lowest line."""
STEP = 2.5
"""Distance at which arms with equally many tokens are drawn, in points: all intervals are seen."""
MOST_TICKS = 6
GAP = 34
"""Room between the axes and the legend below them, for ticks and a label, in points."""


def evaluation(
    run: EvaluationRun,
    *,
    width: float | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw the arms of a run with their 95 % intervals.

    Of answers: accuracy (for MLVU its M-Avg) over the memory tokens used, the mean over questions;
    a line connects one arm at growing budgets. Arms with equally many tokens are drawn next to each
    other, so that all intervals are seen. Arms that use no tokens are dotted lines. Of relevance:
    AUROC, average precision and hit@1 of the prior and its controls. One video has no interval.

    Args:
        run: what `tempo_lab.evaluate` returned.
        width: of the figure, in inches.
        ax: axes to draw in, instead of a new figure.

    Returns:
        the figure and its axes.

    Raises:
        TempoLabError: it is not a run, or nothing in it was compared with a right answer or with
            evidence.
    """
    from tempo_lab.evaluation.arm_table import arm_table, headline
    from tempo_lab.evaluation.run_folder import EvaluationRun
    from tempo_lab.evaluation.summary import PRIOR

    if not isinstance(run, EvaluationRun):
        raise TempoLabError(
            "this plot needs an evaluation run",
            asked=one_line(repr(run), 120),
            found=type(run).__name__,
            fix="pass the result of tempo_lab.evaluate",
        )
    main, prior = headline(run), run.config["kind"] == PRIOR
    if main is None:
        raise TempoLabError(
            "this run has no results that were compared with a ground truth",
            asked=run.folder,
            found="no question with known evidence" if prior else "no question with a known answer",
            fix="evaluate a dataset that has these",
        )
    arms = arm_table(run)
    width = width_of(ax, width)
    axes = new_axes(ax, width, 1.7 + 0.36 * len(arms) if prior else 3.6)
    if prior:
        _prior(axes, arms)
        tidy(axes, grid="x")
        room = width - 0.07 * arms["arm"].str.len().max()
    else:
        _answers(axes, arms[arms[main].notna()], main)
        tidy(axes)
        room = width - 0.5
    _legend_under(axes, room)
    questions, videos = (int(arms[name].max()) for name in ("questions", "videos"))
    about = f"{run.config['dataset']}, {run.config['model']}: {questions} questions about "
    about += f"{videos} video{'s' * (videos != 1)}"
    axes.set_title(title(about, 100, room - 0.3, lines=3), loc="left", fontsize="medium")
    return axes.figure.figure, axes


# Answers


def _answers(axes: Axes, arms: pd.DataFrame, main: str) -> None:
    from matplotlib.transforms import ScaledTranslation

    styled = [*_styled(arms["arm"])]
    scale = axes.figure.figure.dpi_scale_trans  # type: ignore[union-attr]
    for number, (family, color, marker) in enumerate(styled):
        line = arms[arms["arm"] == family].sort_values("tokens")
        label = FAMILIES.get(family, family)
        if not line["tokens"].gt(0).any():
            axes.axhline(line[main].max(), color=BLACK, ls=":", label=f"{label} (no tokens)")
            continue
        offset = (number - (len(styled) - 1) / 2) * STEP / 72
        bars = error_bars(line[main], line[f"{main}_low"], line[f"{main}_high"])
        axes.errorbar(
            line["tokens"], line[main], bars,
            color=color, marker=marker, ms=8 if marker == "*" or label in HOLLOW else 5, lw=1.3,
            elinewidth=0.8, markerfacecolor="white" if label in HOLLOW else color, label=label,
            zorder=ABOVE_GRID + len(styled) - number,
            transform=axes.transData + ScaledTranslation(offset, 0, scale),
        )  # fmt: skip
    tokens = arms.loc[arms["tokens"] > 0, "tokens"]
    if len(tokens):
        _token_ticks(axes, float(tokens.min()), float(tokens.max()))
    axes.set(
        xlabel="memory tokens used (mean over questions)",
        ylabel=main.replace("_", " "),
        ylim=(-0.03, 1.05),
    )


def _styled(names: pd.Series) -> Iterator[tuple[str, str, str]]:
    """Each family of arms with its color and marker, in the order of `STYLES`."""
    order = [*STYLES]
    families = [str(name) for name in dict.fromkeys(names)]
    known = [name for name in families if FAMILIES.get(name) in STYLES]
    others = [name for name in families if name not in known]
    for name in sorted(known, key=lambda name: order.index(FAMILIES[name])):
        yield name, *STYLES[FAMILIES[name]]
    for number, name in enumerate(others):  # from the ends that known arms use last
        yield name, CYCLE[-1 - number % len(CYCLE)], MARKERS[-1 - number % len(MARKERS)]


def _token_ticks(axes: Axes, low: float, high: float) -> None:
    """Make the x axis logarithmic, with ticks at powers of two, at least two and not too many."""
    from matplotlib.ticker import NullLocator

    first, last = int(np.floor(np.log2(low))), int(np.ceil(np.log2(high)))
    last = max(last, first + 1)
    step = -(-(last - first + 1) // MOST_TICKS)
    ticks = 2.0 ** np.arange(first, last + 1, step)
    axes.set_xscale("log", base=2)
    axes.set_xlim(2.0 ** (first - 0.15), 2.0 ** (last + 0.15))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


# Relevance


def _prior(axes: Axes, arms: pd.DataFrame) -> None:
    places = np.arange(len(arms), dtype=float)
    for number, (measure, label) in enumerate(PRIOR_MEASURES.items()):
        low, high = arms[f"{measure}_low"], arms[f"{measure}_high"]
        axes.errorbar(
            arms[measure], places + 0.22 * (number - 1),
            xerr=error_bars(arms[measure], low, high), fmt=MARKERS[number],
            color=CYCLE[number], ms=5, elinewidth=0.8, label=label,
        )  # fmt: skip
    axes.axvline(0.5, color=GREY, ls=":", lw=1, label="AUROC of chance")
    axes.set_yticks(places, arms["arm"])
    axes.set(xlim=(-0.03, 1.03), xlabel="mean over questions", ylim=(len(arms) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)


def _legend_under(axes: Axes, room: float) -> None:
    """Write the legend below the axes, in as many columns as fit into ``room`` inches."""
    import matplotlib
    from matplotlib.transforms import ScaledTranslation

    handles: list[Any]
    handles, labels = axes.get_legend_handles_labels()
    scale = matplotlib.rcParams["font.size"] / FONT
    most = max(1, int(15 * room / scale / (6 + max(map(len, labels)))))
    lines = -(-len(labels) // most)
    figure = axes.figure.figure
    below = ScaledTranslation(0, -GAP * scale / 72, figure.dpi_scale_trans)  # type: ignore[union-attr]
    axes.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=0, frameon=False,
        bbox_transform=axes.transAxes + below, fontsize="small",
        ncols=-(-len(labels) // lines),
    )  # fmt: skip
