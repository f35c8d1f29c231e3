"""Semantic front-loading: what k memory tokens carry, and what the slots are like."""

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
from tempo_lab.plots.style import BLACK, BLUE, GREEN, MAP, ORANGE, PALE, RED, check_kind, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

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


def front_loading(result: FrontLoading, *, width: float = 9.0) -> tuple[Figure, np.ndarray]:
    """What k memory tokens of each segment carry, one curve an arm.

    Bands are the intervals of the mean; the dotted line is the knee of the head's curve. The
    difference of two results has neither.

    Args:
        result: what to draw.
        width: of the figure, in inches.

    Returns:
        the figure and its three axes, [accuracy, log-probability, KL].

    Raises:
        TraceError: it is no front-loading result.
    """
    from matplotlib import pyplot

    data = check_kind(result, FrontLoading, "front_loading").data
    difference = bool(result.provenance.get("difference"))
    figure, axes = pyplot.subplots(1, 3, figsize=(width, 3.6), layout="constrained")
    k = data["k"].to_numpy()
    for each, measure in zip(axes, MEASURES, strict=True):
        for arm in data["arm"].to_numpy():
            color, dashes, label = LINES[str(arm)]
            mean, low, high = (
                data[name].sel(arm=arm).to_numpy()
                for name in (measure, f"{measure}_low", f"{measure}_high")
            )
            few = {"marker": "o", "markersize": 3.0} if len(k) <= 32 else {}
            each.plot(k, mean, dashes, color=color, label=label, linewidth=1.6, **few)
            if not difference:  # differences of ends are no interval
                each.fill_between(k, low, high, color=color, alpha=0.13, linewidth=0)
        if not difference:
            _numbers(each, float(data[f"{measure}_knee"]), float(data[f"{measure}_area"]))
        each.set(xlabel="memory tokens of a segment, k", ylabel=LABELS[measure])
        _whole_numbers(each.xaxis)
    if not difference:
        axes[0].set_ylim(-0.03, 1.03)
    tidy(*axes)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small"
    )
    videos = len(set(data["video"].to_numpy().tolist()))
    about = f"{_count(data.sizes['question'], 'question')} about {_count(videos, 'video')}"
    carry = f"what k of {result.slots} memory tokens carry, {about}"
    figure.suptitle(_opening(carry, difference), x=0.01, ha="left", fontsize="medium")
    return figure, axes


def front_loading_slots(result: FrontLoading, *, width: float = 9.0) -> tuple[Figure, np.ndarray]:
    """What the memory slots are like: attention, length, effective rank, similarity.

    Args:
        result: what to draw.
        width: of the figure, in inches.

    Returns:
        the figure and its four axes, [attention share, norm, effective rank, similarity]; the
        last is that of the tokens as the LLM reads them.

    Raises:
        TraceError: it is no front-loading result.
    """
    from matplotlib import pyplot

    data = check_kind(result, FrontLoading, "front_loading").data
    difference = bool(result.provenance.get("difference"))
    figure, grid = pyplot.subplots(2, 2, figsize=(width, 0.62 * width), layout="constrained")
    attention, norm, rank, similarity = axes = grid.ravel()
    slot = data["slot"].to_numpy()

    for layer in data["llm_layer"].to_numpy():
        label = "one layer each" if layer == 0 else None
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
    norm.set_ylabel("length of the memory token")
    if not difference:
        norm.set_ylim(bottom=0)
    rank.set_ylabel("effective rank of the\nslots up to this one")
    norm.legend(frameon=False, fontsize="small")
    tidy(attention, norm, rank)

    between = data["similarity"].sel(stage="projected").to_numpy()
    edges = (slot[0] - 0.5, slot[-1] + 0.5)
    colours: dict[str, Any] = {"cmap": MAP}
    if difference:
        most = float(np.abs(between).max())
        colours = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    extent = (*edges, *edges[::-1])
    image = similarity.imshow(
        between, extent=extent, aspect="auto", interpolation="nearest", **colours
    )
    bar = figure.colorbar(image, ax=similarity)
    bar.set_label("cosine similarity (projected)")
    similarity.set_ylabel("slot")
    for each in axes:
        each.set_xlabel("slot")
        _whole_numbers(each.xaxis)
    _whole_numbers(similarity.yaxis)
    over = f"mean over segments and {_count(data.sizes['question'], 'question')}"
    like = f"what the {result.slots} memory slots are like, {over}"
    figure.suptitle(_opening(like, difference), x=0.01, ha="left", fontsize="medium")
    return figure, axes


def _numbers(axes: Axes, knee: float, area: float) -> None:
    """Knee and area in figures above the curves; nothing where there is none."""
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
