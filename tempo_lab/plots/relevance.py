"""How relevant the model finds each segment, and how right it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PALE,
    RED,
    check_kind,
    edges_of,
    spans,
    tidy,
    title,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tempo_lab.analysis.relevance import Relevance


def relevance(
    result: Relevance, *, question: int = 0, width: float = 9.0
) -> tuple[Figure, np.ndarray]:
    """Scores of one question over the video's seconds; with truth, how good those of all are.

    Evidence is the green bar below the scores. Below: recall at k and AUC with shuffled questions
    in grey, and the reliability curve, on the diagonal where scores are probabilities.

    Args:
        result: what to draw.
        question: whose scores are drawn over time.
        width: of the figure, in inches.

    Returns:
        the figure and its axes: [scores], with truth [scores, recall, AUC, reliability].

    Raises:
        TraceError: it is no such result, or has no such question.
    """
    from matplotlib import pyplot

    from tempo_lab.analysis.relevance import Relevance

    data = check_kind(result, Relevance, "relevance").data
    check_question(data, question)
    known = "truth" in data
    layout: list[Any] = (
        [["scores"] * 3, ["recall", "auc", "reliability"]] if known else [["scores"]]
    )
    figure, named = pyplot.subplot_mosaic(
        layout, figsize=(width, 5.4 if known else 2.6), layout="constrained"
    )
    _scores(named["scores"], data.isel(question=question))
    tidy(*named.values())
    if known:
        _recall(named["recall"], data)
        _areas(named["auc"], data)
        _reliability(named["reliability"], data)
    return figure, np.array(list(named.values()))


def check_question(data: xr.Dataset, question: int) -> None:
    """Refuse a number that is no question's: a `TraceError`."""
    if not 0 <= question < data.sizes["question"]:
        raise TraceError(
            "the result has no such question",
            asked=f"question={question}",
            found=f"{data.sizes['question']} questions, 0 to {data.sizes['question'] - 1}",
            fix=f"the nearest is {0 if question < 0 else data.sizes['question'] - 1}",
        )


def _scores(axes: Axes, data: xr.Dataset) -> None:
    one = data.isel(segment=slice(int(data["segments"])))
    edges = edges_of(one["start"].to_numpy(), one["end"].to_numpy())
    spans(axes, edges, one["score"].to_numpy(), RED)
    low = 0.0
    if "truth" in one:
        for segment in np.flatnonzero(one["truth"]):
            axes.fill_between(edges[segment : segment + 2], -0.07, -0.02, color=GREEN, lw=0)
        low = -0.09
    axes.set(ylim=(low, 1.05), xlim=(edges[0], edges[-1]))
    seconds = "time (s); green: evidence" if "truth" in one else "time (s)"
    axes.set(xlabel=seconds, ylabel="relevance\n(probability)")
    found = f"margin {float(one['margin']):.1f}, {float(one['effective_segments']):.1f} of "
    found += f"{len(edges) - 1} segments effective"
    found += f", AUC {float(one['auc']):.2f}" if "auc" in one else ""
    axes.set_title(title(str(one["text"].item()), 60), loc="left", fontsize="medium")
    axes.set_title(found, loc="right", fontsize="small")


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


def _areas(axes: Axes, data: xr.Dataset) -> None:
    kinds = [("auc", BLUE, "own")]
    if "control_auc" in data:
        kinds.append(("control_auc", GREY, "shuffled"))
    for place, (name, color, _) in enumerate(kinds):
        values = data[name].to_numpy()
        # side by side in the order of the questions, so that equal ones do not hide each other
        beside = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else np.zeros(1)
        axes.plot(place + beside, values, "o", color=color, ms=4, alpha=0.5, clip_on=False)
        mean, low, high = (float(data[f"mean_{name}{end}"]) for end in ("", "_low", "_high"))
        axes.plot([place - 0.35, place + 0.35], [mean] * 2, color=BLACK, lw=1.5)
        axes.text(place, -0.06, f"{mean:.2f}", ha="center", va="top", fontsize="small")
        if not np.isnan(low):
            axes.vlines(place, low, high, color=BLACK, lw=1.5)
    axes.axhline(0.5, color=BLACK, lw=0.8, ls=":")
    axes.text(-0.48, 0.51, "chance", va="bottom", fontsize="small")
    axes.set_xticks(range(len(kinds)), [label for *_, label in kinds])
    axes.set(ylim=(-0.2, 1.05), xlim=(-0.5, len(kinds) - 0.5), ylabel="AUC of a question")
    axes.set_yticks(np.linspace(0, 1, 6))
    n = int(data["ranked_questions"])
    axes.set_title(f"ROC, {n} question{'s' * (n != 1)}", loc="left", fontsize="medium")


def _reliability(axes: Axes, data: xr.Dataset) -> None:
    half = (data["bin"].to_numpy()[1] - data["bin"].to_numpy()[0]) / 2
    share = data["count"] / data["count"].sum()
    axes.bar(data["bin"], share, width=1.8 * half, color=PALE, label="share of segments")
    axes.plot([0, 1], [0, 1], color=BLACK, lw=0.8, ls=":")
    there = data["count"].to_numpy() > 0
    predicted, observed = data["predicted"].to_numpy()[there], data["observed"].to_numpy()[there]
    axes.plot(predicted, observed, "o", color=BLUE, ms=5, clip_on=False, label="observed")
    axes.set(xlim=(0, 1), ylim=(0, 1.05), xlabel="score (probability)", ylabel="share relevant")
    axes.legend(frameon=False, fontsize="small", loc="upper center")
    error = float(data["calibration_error"])
    axes.set_title(f"calibration error {error:.3f}", loc="left", fontsize="medium")
