"""Semantic front-loading: answers from k memory tokens per segment, and measures of the slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.analysis.front_loading.result import (
    CONTROL,
    HEAD,
    MEASURES,
    RANDOM,
    TAIL,
    TOME,
    FrontLoading,
)
from tempo_lab.plots.style import (
    AROUND_ZERO,
    BLACK,
    BLUE,
    GREEN,
    MAP,
    NARROW,
    ORANGE,
    PALE,
    RED,
    check_result,
    heading,
    legend_below,
    new_figure,
    side_by_side,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure, SubFigure

LINES = {
    HEAD: (BLUE, "-", "first k (head)"),
    TAIL: (RED, "-", "last k (tail)"),
    RANDOM: (GREEN, "-", "random k"),
    TOME: (ORANGE, "-", "merged to k (ToMe)"),
    CONTROL: (BLACK, "--", "control: first k for another question"),
}
LABELS = {
    "accuracy": "accuracy of the answer",
    "logprob": "log-probability of\nthe right answer (nat)",
    "kl": "KL divergence from the\nanswer with all tokens (nat)",
}


def front_loading(
    result: FrontLoading,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw how well k memory tokens per segment answer, one curve per arm.

    Bands are intervals of the mean; the dotted line is the knee of the head's curve. The
    difference of two results has neither.

    Args:
        result: what to draw.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [3], [accuracy, log-probability, KL].

    Raises:
        TraceError: it is not a front-loading result.
    """
    data = check_result(result, FrontLoading, "front_loading").data
    difference = bool(result.provenance.get("difference"))
    width = width_of(figure, width)
    figure, axes = side_by_side(figure, width, 3.6, 3)
    k = data["k"].to_numpy()
    for each, measure in zip(axes, MEASURES, strict=True):
        for arm in data["arm"].to_numpy():
            color, dashes, label = LINES[str(arm)]
            mean, low, high = (
                data[name].sel(arm=arm).to_numpy()
                for name in (measure, f"{measure}_low", f"{measure}_high")
            )
            marker = {"marker": "o", "markersize": 3.0} if len(k) <= 32 else {}
            each.plot(k, mean, dashes, color=color, label=label, linewidth=1.6, **marker)
            if not difference:  # differences of ends are no interval
                each.fill_between(k, low, high, color=color, alpha=0.13, linewidth=0)
        if not difference:
            _knee_and_area(each, float(data[f"{measure}_knee"]), float(data[f"{measure}_area"]))
        each.set(xlabel="memory tokens\nper segment, k", ylabel=LABELS[measure])
        _whole_numbers(each.xaxis)
    if not difference:
        axes[0].set_ylim(-0.03, 1.03)
    tidy(*axes)
    legend_below(figure, width, *axes[0].get_legend_handles_labels())
    videos = len(set(data["video"].to_numpy().tolist()))
    about = f"{_count(data.sizes['question'], 'question')} about {_count(videos, 'video')}"
    what = f"answers from k of {result.slots} memory tokens per segment, {about}"
    heading(figure, width, _opening(what, difference))
    return figure.figure, axes


def front_loading_slots(
    result: FrontLoading,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw attention, norm, effective rank and similarity of the memory slots.

    Args:
        result: what to draw.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [4], [attention share, norm, effective rank, similarity]; the last
        is of the projected tokens, which the LLM reads.

    Raises:
        TraceError: it is not a front-loading result.
    """
    data = check_result(result, FrontLoading, "front_loading").data
    difference = bool(result.provenance.get("difference"))
    width = width_of(figure, width)
    if width < NARROW:
        figure = new_figure(figure, width, 2.7 * width)
        axes = figure.subplots(4, 1)
    else:
        figure = new_figure(figure, width, 0.62 * width)
        axes = figure.subplots(2, 2).ravel()
    attention, norm, rank, similarity = axes
    slot = data["slot"].to_numpy()

    for layer in data["llm_layer"].to_numpy():
        label = "each layer" if layer == 0 else None
        by_layer = data["attention_by_layer"].sel(llm_layer=layer)
        attention.plot(slot, by_layer, color=PALE, linewidth=1, label=label)
    share = data["attention_share"].to_numpy()
    low, high = (data[f"attention_share_{end}"].to_numpy() for end in ("low", "high"))
    attention.plot(slot, share, color=BLUE, marker="o", markersize=3, label="all layers")
    if not difference:
        attention.fill_between(slot, low, high, color=BLUE, alpha=0.15, linewidth=0)
        attention.axhline(1 / len(slot), color=BLACK, linestyle=":", linewidth=1, label="equal")
        attention.set_ylim(bottom=0)
    attention.set_ylabel("share of the LLM's attention\nto memory tokens")
    attention.legend(frameon=False, fontsize="small")

    colors = {"memory": GREEN, "projected": RED}
    for each, name in ((norm, "norm"), (rank, "effective_rank")):
        for stage, color in colors.items():
            values = data[name].sel(stage=stage)
            each.plot(slot, values, color=color, marker="o", markersize=3, label=stage)
    norm.set_ylabel("norm of the memory token")
    if not difference:
        norm.set_ylim(bottom=0)
    rank.set_ylabel("effective rank of the\nslots up to this one")
    norm.legend(frameon=False, fontsize="small")
    tidy(attention, norm, rank)

    between = data["similarity"].sel(stage="projected").to_numpy()
    edges = (slot[0] - 0.5, slot[-1] + 0.5)
    scale: dict[str, Any] = {"cmap": MAP}
    if difference:
        highest = float(np.abs(between).max())
        scale = {"cmap": AROUND_ZERO, "vmin": -highest, "vmax": highest}
    extent = (*edges, *edges[::-1])
    image = similarity.imshow(
        between, extent=extent, aspect="auto", interpolation="nearest", **scale
    )
    bar = figure.colorbar(image, ax=similarity)
    bar.set_label("cosine similarity (projected)")
    similarity.set_ylabel("slot")
    for each in axes:
        each.set_xlabel("slot")
        _whole_numbers(each.xaxis)
    _whole_numbers(similarity.yaxis)
    over = f"mean over segments and {_count(data.sizes['question'], 'question')}"
    heading(figure, width, _opening(f"measures of {result.slots} memory slots, {over}", difference))
    return figure.figure, axes


def _knee_and_area(axes: Axes, knee: float, area: float) -> None:
    """Write knee and area above the curves, if they are numbers."""
    if not np.isnan(knee):
        axes.axvline(knee, color=BLUE, linestyle=":", linewidth=1.2)
        axes.set_title(f"knee at {knee:g}", loc="left", fontsize="small")
    if not np.isnan(area):
        axes.set_title(f"area to tail {area:.2f}", loc="right", fontsize="small")


def _whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _opening(text: str, difference: bool) -> str:
    return f"Difference in {text}" if difference else text[0].upper() + text[1:]
