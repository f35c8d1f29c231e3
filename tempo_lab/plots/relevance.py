"""The model's relevance per segment, compared with the ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import roc_curve
from tempo_lab.plots.style import (
    BLACK,
    BLUE,
    EVIDENCE,
    GREY,
    NARROW,
    PALE,
    RELEVANCE,
    check_result,
    fill_segments,
    new_figure,
    segment_edges,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.analysis.relevance import Relevance

RATES = np.linspace(0, 1, 101)
"""False positive rates at which ROC curves are averaged."""


def relevance(
    result: Relevance,
    *,
    question: int = 0,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw scores of one question over the video's seconds; with truth, how good all scores are.

    The green bar below the scores is the evidence. Further panels: recall at k and ROC curves, with
    shuffled questions in gray, and the reliability curve, on the diagonal if the scores are
    calibrated probabilities. The mean ROC curve averages true positive rates (Fawcett 2006).

    Args:
        result: what to draw.
        question: number of the question whose scores are drawn over time.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes: [scores], with truth [scores, recall, ROC, reliability].

    Raises:
        TraceError: it is another result, or has no such question.
    """
    from tempo_lab.analysis.relevance import Relevance

    data = check_result(result, Relevance, "relevance").data
    check_question(data, question)
    known = "truth" in data
    width = width_of(figure, width)
    narrow = width < NARROW
    panels = ["recall", "roc", "reliability"] if known else []
    rows: list[Any] = [["scores"] * (1 if narrow or not known else 3)]
    rows += [[panel] for panel in panels] if narrow else [panels] * known
    figure = new_figure(figure, width, 2.6 + (7.2 if narrow else 2.8) * known)
    named: dict[str, Any] = figure.subplot_mosaic(rows)
    _scores(named["scores"], data.isel(question=question), width)
    tidy(*named.values())
    if known:
        _recall(named["recall"], data)
        _roc(named["roc"], data)
        _reliability(named["reliability"], data)
    return figure.figure, np.array(list(named.values()))


def check_question(data: xr.Dataset, question: int) -> None:
    """Raise a `TraceError` if the result has no question of this number."""
    if not 0 <= question < data.sizes["question"]:
        raise TraceError(
            "the result has no question of this number",
            asked=f"question={question}",
            found=f"{data.sizes['question']} questions, 0 to {data.sizes['question'] - 1}",
            fix=f"the nearest is {0 if question < 0 else data.sizes['question'] - 1}",
        )


def _scores(axes: Axes, data: xr.Dataset, width: float) -> None:
    one = data.isel(segment=slice(int(data["segments"])))
    edges = segment_edges(one["start"].to_numpy(), one["end"].to_numpy())
    fill_segments(axes, edges, one["score"].to_numpy(), RELEVANCE)
    low = 0.0
    if "truth" in one:
        for segment in np.flatnonzero(one["truth"]):
            axes.fill_between(edges[segment : segment + 2], -0.07, -0.02, color=EVIDENCE, lw=0)
        low = -0.09
    axes.set(ylim=(low, 1.05), xlim=(edges[0], edges[-1]))
    label = "time (s); green: evidence" if "truth" in one else "time (s)"
    axes.set(xlabel=label, ylabel="relevance\n(probability)")
    numbers = f"margin {float(one['margin']):.1f}, {float(one['effective_segments']):.1f} of "
    numbers += f"{len(edges) - 1} segments effective"
    numbers += f", AUC {float(one['auc']):.2f}" if "auc" in one else ""
    text = title(str(one["text"].item()), 90 if width < NARROW else 60, width)
    if width < NARROW:  # no room for both in one line
        axes.set_title(f"{text}\n{numbers}", loc="left", fontsize="small")
    else:
        axes.set_title(text, loc="left", fontsize="medium")
        axes.set_title(numbers, loc="right", fontsize="small")


def _recall(axes: Axes, data: xr.Dataset) -> None:
    for name, color, label in (
        ("mean_control_recall", GREY, "shuffled question"),
        ("mean_recall", BLUE, "its own question"),
    ):
        if name in data:
            axes.fill_between(
                data["k"], data[f"{name}_low"], data[f"{name}_high"], color=color, alpha=0.2, lw=0
            )
            axes.plot(data["k"], data[name], color=color, marker="o", ms=3, label=label)
    axes.set(xlabel="k best segments", ylabel="share of evidence\namong them", ylim=(0, 1.05))
    axes.set_xticks(data["k"].to_numpy()[:: 1 if data.sizes["k"] <= 10 else 5])
    axes.legend(frameon=False, fontsize="small", loc="lower right")
    axes.set_title("recall at k", loc="left", fontsize="medium")


def _roc(axes: Axes, data: xr.Dataset) -> None:
    """Draw the mean of the questions' true positive rates. The dotted line is chance."""
    for prefix, logit, color, label in (
        ("control_", "control_logit", GREY, "shuffled"),
        ("", "logit", BLUE, "own"),
    ):
        questions = range(data.sizes["question"]) if logit in data else ()
        each = [data.isel(question=q, segment=slice(int(data["segments"][q]))) for q in questions]
        curves = [
            np.interp(RATES, *roc_curve(one[logit], one["truth"]))
            for one in each
            if not np.isnan(one["auc"])
        ]
        if not curves:
            continue
        mean, low, high = (float(data[f"mean_{prefix}auc{end}"]) for end in ("", "_low", "_high"))
        interval = "" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"
        axes.plot([0.0, *RATES], [0.0, *np.mean(curves, axis=0)], color=color, lw=2, clip_on=False,
                  label=f"{label}: AUC {mean:.2f}{interval}")  # fmt: skip
    axes.plot([0, 1], [0, 1], color=BLACK, lw=0.8, ls=":")
    axes.set(xlim=(0, 1), ylim=(0, 1.05))
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize="small", loc="lower right", handlelength=0,
                    labelcolor="linecolor")  # fmt: skip
    n = int(data["ranked_questions"])
    axes.set_title(f"ROC, {n} question{'s' * (n != 1)}", loc="left", fontsize="medium")


def _reliability(axes: Axes, data: xr.Dataset) -> None:
    half = (data["bin"].to_numpy()[1] - data["bin"].to_numpy()[0]) / 2
    share = data["count"] / data["count"].sum()
    axes.bar(data["bin"], share, width=1.8 * half, color=PALE, label="share of segments")
    axes.plot([0, 1], [0, 1], color=BLACK, lw=0.8, ls=":")
    filled = data["count"].to_numpy() > 0
    predicted, observed = (data[name].to_numpy()[filled] for name in ("predicted", "observed"))
    axes.plot(predicted, observed, "o", color=BLUE, ms=5, clip_on=False, label="observed")
    axes.set(xlim=(0, 1), ylim=(0, 1.05), xlabel="score (probability)", ylabel="share relevant")
    axes.legend(frameon=False, fontsize="small", loc="upper center")
    error = float(data["calibration_error"])
    axes.set_title(f"calibration error {error:.3f}", loc="left", fontsize="medium")
