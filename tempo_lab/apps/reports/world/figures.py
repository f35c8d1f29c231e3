"""Figures of the evaluation's tables: each function returns (figure, axes) and never shows them.

Each line also has its own marker, so that no meaning depends on color alone. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tempo_lab.common.statistics import Reliability
from tempo_lab.nano.claims.plan import BEFORE, MAIN, PLAIN
from tempo_lab.nano.claims.tables import NEEDLES, QUESTIONS, groups_of
from tempo_lab.plots.score_over_tokens import legend_beside, score_over_tokens, tokens_axis
from tempo_lab.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    STYLES,
    error_bars,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_ARMS = 3
"""A length with fewer arms has no curve to draw."""

WAY_STYLES = {"first": (BLUE, "o"), "last": (RED, "v"), "random": (GREEN, "D")}
MODEL_NAMES = {MAIN: "this model", BEFORE: "before compressor training", PLAIN: "no prefix dropout"}
ROLE_STYLES = {
    "control": (BLUE, "o"), "rival": (GREEN, "^"), "upper bound": (ORANGE, "D"),
    "all tokens": (BLACK, "*"),
}  # fmt: skip
"""Colour and marker of the arms that ATA is compared with, by their role."""
LENGTH_COLORS = (BLUE, RED, GREEN, PINK)


def _subplots(
    columns: int, *, width: float, height: float, rows: int = 1, **more: Any
) -> tuple[Figure, np.ndarray]:
    """Return the figure and its axes: [column], or [row, column] for several rows."""
    import seaborn
    from matplotlib import pyplot

    with seaborn.axes_style("ticks"), seaborn.plotting_context("notebook", font_scale=0.85):
        figure, axes = pyplot.subplots(
            rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **more
        )
    tidy(*axes.flat)
    return figure, axes[0] if rows == 1 else axes


def _kinds_axis(axes: Axes, kinds: list[str]) -> None:
    """Label the axes of scores by kind of question."""
    names = [kind.replace("_", " ") for kind in kinds]
    axes.set_xticks(range(len(kinds)), names, rotation=30 if len(kinds) > 6 else 0)
    axes.set(ylabel="score", ylim=(-0.02, 1.03), xlabel="kind of question")


def prior(
    table: pd.DataFrame, curves: Mapping[tuple[str, int], Reliability]
) -> tuple[Figure, np.ndarray]:
    """Draw AUC by length with its control, and the calibration of relevance.

    Args:
        table: what `prior_table` returned.
        curves: what `calibration` returned.
    """
    figure, axes = _subplots(2, width=9.5, height=3.8)
    left, right = axes
    needles = table[table["kind"] == NEEDLES] if len(table) else table
    lengths = sorted(needles["segments"].unique()) if len(needles) else []
    position = {n: i for i, n in enumerate(lengths)}
    for (model, color, marker), shift in zip(
        ((MAIN, BLUE, "o"), (BEFORE, ORANGE, "s")), (-0.08, 0.08), strict=True
    ):
        rows = needles[needles["model"] == model] if len(needles) else needles
        if len(rows):
            x = rows["segments"].map(position) + shift
            _bars(left, x, rows, "auc", color, marker, MODEL_NAMES[model])
            if model == MAIN:
                _bars(left, x, rows, "control", GREY, "X", "control: another video's question")
    left.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    left.set(xlabel="segments of the video", ylabel="ROC-AUC of relevance", ylim=(0, 1.03))
    left.set_xticks(range(len(lengths)), [str(n) for n in lengths])
    left.set_xlim(-0.5, max(len(lengths) - 0.5, 0.5))
    left.legend(frameon=False, loc="lower left", fontsize="small")
    left.set_title("Needle questions: where is the evidence?", loc="left", fontsize="medium")

    right.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    main_curves = [(n, curve) for (model, n), curve in curves.items() if model == MAIN]
    for (n, curve), color, marker in zip(main_curves, LENGTH_COLORS, "osDv", strict=False):
        filled = curve.count > 0
        label = f"{n} segments, ECE {curve.error:.3f}"
        right.plot(
            curve.predicted[filled], curve.observed[filled], color=color, marker=marker, label=label
        )
    right.set(xlabel="relevance (probability)", ylabel="share that holds evidence")
    right.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    right.legend(
        frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize="small"
    )
    right.set_title("Calibration", loc="left", fontsize="medium")
    return figure, axes


def _bars(
    axes: Axes, x: Any, table: pd.DataFrame, name: str, color: str, marker: str, label: str
) -> None:
    bars = error_bars(table[name], table[f"{name}_low"], table[f"{name}_high"])
    axes.errorbar(x, table[name], bars, fmt=marker, color=color, capsize=3, label=label)


def allocation(table: pd.DataFrame, group: str = NEEDLES) -> tuple[Figure, np.ndarray]:
    """Draw score against the tokens that were really used, one panel per length.

    Args:
        table: what `allocation_table` returned.
        group: which questions.
    """
    rows = table[table["group"] == group]
    families = rows.groupby("segments")["family"].nunique()
    lengths = sorted(families[families >= MIN_ARMS].index) or [0]
    figure, axes = _subplots(len(lengths), width=3.4 * len(lengths) + 1.8, height=3.9, sharey=True)
    for ax, segments in zip(axes, lengths, strict=True):
        score_over_tokens(ax, rows[rows["segments"] == segments])
        ax.set_title(f"{segments} segments", loc="left", fontsize="medium")
    axes[0].set_ylabel(f"score of {group} questions")
    legend_beside(figure, axes)
    return figure, axes


def kinds(table: pd.DataFrame, budget: int, segments: int = 32) -> tuple[Figure, np.ndarray]:
    """Draw the score of each kind of question at one length and budget, by arm.

    Args:
        table: what `allocation_table` returned.
        budget: tokens per segment; all tokens are shown as well.
        segments: length of the videos.
    """
    chosen = ["ATA head", "uniform head", "uniform ToMe", "top-k", "shuffled scores"]
    chosen += ["oracle routing", "all tokens"]
    rows = table[(table["segments"] == segments) & table["family"].isin(chosen)]
    rows = rows[rows["budget"].isna() | (rows["budget"] == budget)]
    groups = groups_of(rows)
    figure, axes = _subplots(1, width=max(6.0, 1.15 * len(groups) + 2.5), height=3.9)
    for index, family in enumerate(chosen):
        line = rows[rows["family"] == family]
        x = line["group"].map({g: i for i, g in enumerate(groups)})
        shift = (index - (len(chosen) - 1) / 2) * 0.11
        if len(line):
            _bars(axes[0], x + shift, line, "score", *STYLES[family], family)
    _kinds_axis(axes[0], groups)
    axes[0].set_title(
        f"{segments} segments, a budget of {budget} tokens per segment", loc="left",
        fontsize="medium",
    )  # fmt: skip
    legend_beside(figure, axes)
    return figure, axes


def controls(table: pd.DataFrame, groups: Sequence[str], lead: float) -> tuple[Figure, np.ndarray]:
    """Draw ATA minus each other arm of its budget, with its interval, one panel per kind.

    Args:
        table: what `controls_table` returned.
        groups: the kinds, in this order.
        lead: smallest lead over a control that counts as one, drawn as a line.
    """
    others = table[table["role"] != ""]
    families = list(dict.fromkeys(others["family"]))[::-1]
    place = {family: number for number, family in enumerate(families)}
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    height = 0.7 + rows * (0.7 + 0.22 * max(len(families), 3))
    figure, axes = _subplots(
        columns, rows=rows, width=11.0, height=height, sharex=True, sharey=True
    )
    for group, each in zip(groups, axes.flat, strict=False):
        part = others[others["group"] == group]
        for role, (color, marker) in ROLE_STYLES.items():
            some = part[part["role"] == role]
            if len(some):
                bars = error_bars(some["ata_minus"], some["ata_minus_low"], some["ata_minus_high"])
                each.errorbar(
                    some["ata_minus"], some["family"].map(place), xerr=bars, fmt=marker,
                    color=color, capsize=2, ms=5, label=role,
                )  # fmt: skip
        each.axvline(0, color=BLACK, linewidth=0.8)
        each.axvline(lead, color=GREY, linewidth=0.8, linestyle=":")
        count = f", n = {part['n'].max()}" if len(part) else ""
        each.set_title(f"{QUESTIONS.get(group, group)}{count}", loc="left", fontsize="small")
        each.set_yticks(range(len(families)), families)
    for each in axes.flat[len(groups) :]:
        each.set_axis_off()
    for each in np.atleast_2d(axes)[-1]:
        each.set_xlabel("ATA minus the arm")
    legend_beside(figure, axes)
    return figure, axes


def front_loading(table: pd.DataFrame) -> tuple[Figure, np.ndarray]:
    """Draw score and log-probability of the right answer with first, last or random k tokens kept.

    Args:
        table: what `front_loading_table` returned.
    """
    models = [m for m in (MAIN, PLAIN) if len(table) and m in set(table["model"])]
    panels = [(m, g) for g in groups_of(table) for m in models] or [(MAIN, NEEDLES)]
    wide = max(len(panels), 2)
    figure, axes = _subplots(
        len(panels), rows=2, width=3.1 * wide + 0.6, height=5.8, sharex=True, sharey="row"
    )
    for (model, group), upper, lower in zip(panels, *axes, strict=True):
        rows = table[(table["model"] == model) & (table["group"] == group)]
        for shown, name in ((upper, "score"), (lower, "nats")):
            for way, (color, marker) in WAY_STYLES.items():
                line = rows[rows["way"] == way].sort_values("k")
                low, high = line[f"{name}_low"], line[f"{name}_high"]
                shown.plot(line["k"], line[name], color=color, marker=marker, label=f"{way} k")
                shown.fill_between(line["k"], low, high, color=color, alpha=0.13, linewidth=0)
        tokens_axis(lower, table["k"])
        lower.set_xlabel("k, tokens kept per segment")
        upper.set_title(f"{group}, {MODEL_NAMES[model]}", loc="left", fontsize="medium")
        upper.set_ylim(-0.02, 1.03)
    axes[0, 0].set_ylabel("score")
    axes[1, 0].set_ylabel("log-probability of the right\nanswer (nat per token)")
    axes[0, 0].legend(frameon=False, loc="upper left", fontsize="small")  # few tokens score low
    return figure, axes


def strictness(table: pd.DataFrame) -> tuple[Figure, np.ndarray]:
    """Draw three strict allocators, on questions about what is absent, present, and in one segment.

    Args:
        table: what `strictness_table` returned.
    """
    lengths = sorted(table["segments"].unique()) if len(table) else [0]
    groups = groups_of(table)
    figure, axes = _subplots(len(lengths), width=3.4 * len(lengths) + 2, height=3.6, sharey=True)
    families = list(dict.fromkeys(table["family"]))
    styles = ((BLUE, "o", -0.26), (RED, "s", 0.0), (GREEN, "^", 0.26))
    for family, (color, marker, shift) in zip(families, styles, strict=False):
        for each, segments in zip(axes, lengths, strict=True):
            line = table[(table["segments"] == segments) & (table["family"] == family)]
            x = line["group"].map({g: i for i, g in enumerate(groups)}) + shift
            _bars(each, x, line, "score", color, marker, family)
            for at, tokens in zip(x, line["tokens"], strict=True):
                each.text(at, 0, f"{tokens:.1f}", ha="center", fontsize="x-small", color=color)
    for each, segments in zip(axes, lengths, strict=True):
        each.set_xticks(range(len(groups)), groups)
        each.set_xlim(-0.5, max(len(groups) - 0.5, 0.5))
        each.set_title(f"{segments} segments", loc="left", fontsize="medium")
    axes[0].set(ylabel="score (below: tokens per segment)", ylim=(-0.02, 1.03))
    legend_beside(figure, axes)
    return figure, axes


def phrasings(table: pd.DataFrame) -> tuple[Figure, np.ndarray]:
    """Draw the score of each phrasing of each kind of question; red: held out of training.

    Args:
        table: what `phrasing_table` returned.
    """
    kinds = list(dict.fromkeys(table["kind"]))
    figure, axes = _subplots(1, width=max(6.0, 0.55 * len(kinds) + 2.5), height=3.9)
    number = table.groupby("kind").cumcount()
    x = table["kind"].map({kind: i for i, kind in enumerate(kinds)}) + 0.13 * (number - 1.5)
    for kept_out, color, marker, label in (
        (False, BLUE, "o", "shown in training"),
        (True, RED, "D", "held out of training"),
    ):
        rows = table["kept_out"] == kept_out
        if rows.any():
            _bars(axes[0], x[rows], table[rows], "score", color, marker, label)
    _kinds_axis(axes[0], kinds)
    legend_beside(figure, axes)
    return figure, axes
