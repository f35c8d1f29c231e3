"""What the words that ask for relevance change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.plots.style import (
    BLACK,
    BLUE,
    CYCLE,
    GREEN,
    RED,
    check_kind,
    edges_of,
    tidy,
    title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity


def prompt_sensitivity(
    result: PromptSensitivity, *, width: float = 9.0
) -> tuple[Figure, np.ndarray]:
    """Logits by wording and second; agreement with the released wording; what was stored.

    The last panel shows how far the memory tokens are from the released wording's; the dotted line
    is how far they are where the question is left blank.

    Args:
        result: what to draw.
        width: of the figure, in inches.

    Returns:
        the figure and its axes, [logits, agreement, memory distance, cosine by slot].

    Raises:
        TraceError: it is no such result.
    """
    from matplotlib import pyplot

    from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity

    data = check_kind(result, PromptSensitivity, "prompt_sensitivity").data
    names = [
        f"{name}{' (inverted)' * bool(turned and 'inverted' not in str(name))}"
        for name, turned in zip(data["wording"].to_numpy(), data["inverted"], strict=True)
    ]
    figure, named = pyplot.subplot_mosaic(
        [["logit"] * 3, ["agreement", "distance", "cosine"]],
        figsize=(width, 5.6),
        layout="constrained",
    )
    upper, left, middle, right = named.values()
    places = np.arange(len(names))
    logit = data["logit"].to_numpy()
    seconds = edges_of(data["start"].to_numpy(), data["end"].to_numpy())
    most = max(float(np.abs(logit).max()), 1e-6)
    rows = np.arange(len(names) + 1) - 0.5
    shown = upper.pcolormesh(seconds, rows, logit, cmap="RdBu_r", vmin=-most, vmax=most)
    figure.colorbar(shown, ax=upper, label="logit (Yes - No)", pad=0.01)
    upper.set_yticks(places, names)
    below = "time (s); green: evidence" if "truth" in data else "time (s)"
    upper.set(xlabel=below, ylim=(len(names) - 0.5, -0.5))
    if "truth" in data:
        upper.set_ylim(len(names) - 0.2, -0.5)
        for segment in np.flatnonzero(data["truth"]):
            span = seconds[segment : segment + 2]
            upper.fill_between(span, len(names) - 0.42, len(names) - 0.22, color=GREEN, lw=0)
    upper.set_title(title(str(data["question"].item()), 60), loc="left", fontsize="medium")
    upper.set_title("relevance asked for in other words", loc="right", fontsize="small")

    for name, color, label, mark in (
        ("rank_agreement", BLUE, "rank correlation", "o"),
        ("same_sign", RED, "same sign", "s"),
    ):
        left.plot(data[name], places, mark, color=color, ms=6, alpha=0.8, label=label)
    left.axvline(0, color=BLACK, lw=0.8)
    left.set_yticks(places, names)
    left.set(xlim=(-1.08, 1.08), ylim=(len(names) - 0.5, -0.5), xlabel="with the released wording")
    left.legend(fontsize="small", loc="upper left", framealpha=1, edgecolor="none")
    left.set_title("agreement", loc="left", fontsize="medium")

    distance = data["distance"]
    middle.barh(places, distance.mean("segment"), color=[CYCLE[i % len(CYCLE)] for i in places])
    blank = float(data["question_distance"].mean())
    middle.axvline(blank, color=BLACK, lw=1, ls=":")
    middle.text(blank, -0.45, "no question ", ha="right", va="top", fontsize="small")
    changed = data["answer_changed_same_tokens"].to_numpy()
    for place in places[changed > 0]:
        middle.text(0.02, place, "another answer", va="center", fontsize="small", color="white")
    middle.set_yticks(places, [""] * len(names))
    middle.set(ylim=(len(names) - 0.5, -0.5), xlabel="distance / norm, mean of segments")
    middle.set_title("memory: how far away", loc="left", fontsize="medium")

    slots = data["slot"].to_numpy()
    for place, name in enumerate(names[1:], 1):
        mean = data["cosine"].isel(wording=place).mean("segment")
        right.plot(slots, mean, color=CYCLE[place % len(CYCLE)], lw=1.5, label=name)
    right.set(xlabel="memory slot", ylabel="cosine, mean of segments")
    right.set_title("memory: by slot", loc="left", fontsize="medium")
    tidy(right)
    for axes in (left, middle):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#e5e5e5", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, np.array([upper, left, middle, right])
